import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreSummary } from '../../../model/backup.ts';
import type { RecoveryDecision } from '../../../model/recovery.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { type Stage, startStage } from './stage.ts';

/** `pointTime.offCluster` as an operator has it: plan file, apply, time passing, status, and a restore to an instant between two snapshots. */

let stage: Stage;
let plan: string;

beforeAll(async () => {
  stage = await startStage({ tservers: 1, replicationFactor: 1, tabletsPerTable: 2 });
  const { universe } = stage;
  await query(universe.ysql('yugabyte'), 'CREATE DATABASE ledger');
  await query(
    universe.ysql('ledger'),
    // A sequence, which no clone supports: so the way is not that of the universe's own history.
    'CREATE TABLE entries (id bigserial PRIMARY KEY, amount int)',
    'INSERT INTO entries (amount) SELECT i FROM generate_series(1, 100) i',
  );
  plan = await stage.planOf('ledger', ['ledger'], []);
  const text = await readFile(plan, 'utf8');
  const wanted = 'pointTime: { offCluster: { every: 1m, retention: 2h } }\n  restore: { approval: none }';
  await writeFile(plan, text.replace('  steps:', `  ${wanted}\n  steps:`));
});
afterAll(() => stage.stop());

const rows = (database: string) => query(stage.universe.ysql(database), 'SELECT * FROM entries ORDER BY id');

interface Told {
  readonly survey?: {
    readonly window: {
      readonly ranges: readonly { readonly way: string; readonly from: string; readonly to: string }[];
    };
  };
}
let status: Told | undefined;
const ranges = async () => {
  status = await stage.json<Told>('status', plan);
  return (status.survey?.window.ranges ?? []).filter(({ way }) => way === 'snapshot');
};

/** Two waits for the minute of a schedule, each of which says what it last saw. */
const LONGEST_MS = 1_800_000;

test(
  'apply makes the schedule, exports follow by themselves, and a second between two of them comes back from the repository',
  async () => {
    await stage.json('apply', plan, '--yes');
    expect((await stage.universe.view()).schedules).toEqual([
      { id: expect.any(String), namespace: 'ysql.ledger' },
    ]);
    await eventually(
      'the first export is there',
      async () => (await ranges()).length > 0,
      () => status,
    );
    const before = (await ranges()).at(-1)?.to ?? '';

    await query(stage.universe.ysql('ledger'), 'DELETE FROM entries WHERE id <= 50');
    await sleep(20);
    const instant = new Date().toISOString();
    const wanted = await rows('ledger');
    await sleep(20);
    await query(stage.universe.ysql('ledger'), 'UPDATE entries SET amount = -1');
    await eventually(
      `the instant ${instant} is off the cluster`,
      async () => (await ranges()).some(({ from, to }) => from <= instant && instant <= to),
      () => status,
    );
    expect((await ranges()).some(({ from, to }) => from <= before && before <= to)).toBe(true);

    const { decision } = await stage.json<{ decision: RecoveryDecision }>(
      'restore',
      plan,
      '--to',
      instant,
      '--explain',
    );
    expect(decision).toMatchObject({ kind: 'restore', way: 'snapshot', instant });
    const restored = await stage.run('restore', plan, '--to', instant, '--into', 'ledger_then', '--json');
    // Nobody has counts of the instant, so nobody says OK.
    expect(restored.code).toBe(3);
    expect(JSON.parse(restored.stdout) as RestoreSummary).toMatchObject({
      verdict: 'INCONCLUSIVE',
      problems: [],
      compared: expect.stringContaining('not the rows'),
    });
    expect(await rows('ledger_then')).toEqual(wanted);

    // The schedule's snapshots are the universe's: no export deletes them.
    const own = (await stage.universe.view()).snapshots.filter(({ schedule }) => schedule !== undefined);
    expect(own.length).toBeGreaterThan(1);
    expect(own.every(({ state }) => state !== 'DELETED' && state !== 'DELETING')).toBe(true);
    const page = await stage.run('status', plan);
    expect(page.stdout).toMatch(/every instant from .* \(snapshot\)/);

    const text = await readFile(plan, 'utf8');
    await writeFile(path.join(stage.folder, 'ledger.yaml'), text.replace(/^ *pointTime: .*\n/m, ''));
    await stage.json('apply', plan, '--yes');
    await eventually(
      'the schedule is gone',
      async () => (await stage.universe.view()).schedules.length === 0,
    );
  },
  LONGEST_MS,
);
