import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DemoOutcome } from '../../cli/demo/story.ts';
import { startHoldfast } from '../support/holdfast.ts';
import { eventually } from '../support/processes.ts';

/** The first command that anyone runs. */
let folder: string;
let environment: NodeJS.ProcessEnv;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-demo-test-'));
  // PostgreSQL runs as another user where this one is root.
  await chmod(folder, 0o755);
  environment = { TMPDIR: folder };
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test.each(['ysql', 'ycql'])(
  'the demo of %s kills its worker, and restores what equals the original',
  async (engine) => {
    const { code, stdout } = await startHoldfast(['demo', '--engine', engine, '--json'], environment).end;
    expect(code).toBe(0);
    const told = JSON.parse(stdout) as DemoOutcome;
    expect(told).toMatchObject({ verdict: 'OK', backup: expect.any(String), epochs: 1 });
    expect(told.rows).toBeGreaterThan(0);
    expect(told.workerKilledAtChunk).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
  },
);

test('Ctrl-C stops and removes all of it', async () => {
  const running = startHoldfast(['demo'], environment);
  await eventually('the backup is under way', async () => running.progress().includes('4. Backing up'));
  running.child.kill('SIGINT');
  const { code } = await running.end;
  expect(code).not.toBe(0);
  await eventually('nothing is left', async () => (await readdir(folder)).length === 0);
});
