import type { BackupSummary } from '../../../model/backup.ts';
import { fill } from './contents.ts';
import { FAULTS, type Fault } from './faults.ts';
import { contentsOf, dropRestored, leftBehind, plainBackup, verdictOf } from './outcome.ts';
import { type Stage, startStage } from './stage.ts';

/** A sample in `npm test`; all of them with HOLDFAST_UNIVERSE_FAULTS=all. */
const chosen =
  process.env.HOLDFAST_UNIVERSE_FAULTS === 'all' ? FAULTS : FAULTS.filter(({ sample }) => sample);
const on = (during: Fault['during']) => chosen.filter((fault) => fault.during === during);

let stage: Stage;
let backup: BackupSummary;
let contents: string;
beforeAll(async () => {
  // One node more than replicas, so that a replica has somewhere to go.
  stage = await startStage({ tservers: 4 });
  await fill(stage.universe);
  contents = await contentsOf(stage.universe, 'shop', 'metrics');
  backup = await plainBackup(stage);
});
afterAll(() => stage.stop());

async function run(fault: Fault, ...args: readonly string[]) {
  await fault.strike(stage);
  const { code, stdout, stderr } = await stage.run(...args, '--json');
  await stage.universe.disarm();
  await fault.mend?.(stage);
  const answer = JSON.parse(stdout || '{}') as { backup?: string; error?: { code: string; message: string } };
  if (fault.fails === undefined && code !== 0) throw new Error(`${stdout}\n${stderr}`);
  expect({ code, error: answer.error?.code }).toEqual(
    fault.fails === undefined ? { code: 0, error: undefined } : { code: 1, error: fault.fails },
  );
  return answer;
}

describe('a backup, when', () => {
  test.each(on('backup'))('$name', async (fault) => {
    const { backup: id } = await run(fault, 'backup', stage.planFile);
    if (fault.fails === undefined) expect(await verdictOf(stage, id ?? '')).toBe('OK');
    await expect(leftBehind(stage)).resolves.toEqual([]);
  });
});

describe('a restore, when', () => {
  test.each(on('restore'))('$name', async (fault) => {
    const into = ['--into', 'shop=shop_again', '--into', 'metrics=metrics_again'];
    await run(fault, 'restore', stage.planFile, '--backup', backup.backup, ...into);
    if (fault.fails === undefined) {
      expect(await contentsOf(stage.universe, 'shop_again', 'metrics_again')).toBe(contents);
    }
    await dropRestored(stage.universe, 'shop_again', 'metrics_again');
    await expect(leftBehind(stage)).resolves.toEqual([]);
  });
});
