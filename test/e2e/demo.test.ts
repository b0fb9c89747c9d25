import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
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

test.each(['ysql', 'ycql', 'universe'])(
  'the demo of %s kills its worker, and restores what equals the original',
  async (engine) => {
    const { code, stdout, stderr } = await startHoldfast(['demo', '--engine', engine, '--json'], environment)
      .end;
    expect({ code, last: stderr.trimEnd().split('\n').slice(-3) }).toEqual({
      code: 0,
      last: [
        expect.stringMatching(/^ {3}✔ customers: \d+ rows, digest (-?\d+) = \1$/),
        expect.stringMatching(/^ {3}✔ orders: \d+ rows, digest (-?\d+) = \1$/),
        'The restored database equals the original.',
      ],
    });
    const told = JSON.parse(stdout) as DemoOutcome;
    expect(told).toMatchObject({ verdict: 'OK', backup: expect.any(String), epochs: 1 });
    expect(told.rows).toBeGreaterThan(0);
    expect(told.workerKilledAtChunk).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
    await eventually('no process is left', async () => (await processesOfDemo()).length === 0);
  },
);

test.each([
  { engine: 'ysql', moment: 'Backing up' },
  { engine: 'universe', moment: 'Starting a database' },
  { engine: 'universe', moment: '▶ upload' },
])(
  'Ctrl-C at “$moment” of $engine: when the command has ended, nothing is left',
  async ({ engine, moment }) => {
    const running = startHoldfast(['demo', '--engine', engine], environment);
    await eventually(moment, async () => running.progress().includes(moment));
    expect(await processesOfDemo()).not.toEqual([]);
    running.child.kill('SIGINT');
    const { code, stderr } = await running.end;
    expect(code).toBe(1);
    expect(stderr).toContain('error: the demo was ended');
    expect({ processes: await processesOfDemo(), files: await readdir(folder) }).toEqual({
      processes: [],
      files: [],
    });
  },
);

test('a second Ctrl-C ends the command at once, and all that is left ends without it', async () => {
  const running = startHoldfast(['demo', '--engine', 'universe'], environment);
  await eventually('the next server is being started', async () => running.progress().includes('Real: '));
  running.child.kill('SIGINT');
  await eventually('the first is heard', async () => running.progress().includes('Ending the demo'));
  running.child.kill('SIGINT');
  expect((await running.end).code).toBe(1);
  await eventually('no process is left', async () => (await processesOfDemo()).length === 0);
  expect(await readdir(folder)).toEqual([]);
});

/** Commands of all processes that the demo started, and what these started: they have its folder for temporary files. */
async function processesOfDemo(): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)('ps', ['axeww', '-o', 'command='], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout.split('\n').filter((line) => line.includes(`TMPDIR=${folder}`));
}
