import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { holdfast, startHoldfast } from '../support/holdfast.ts';
import { repositoryDocument } from '../support/plan-files.ts';

/** Slips of the hand and of a machine, each of which ends at once, in one line that says what to do. On a backup that an earlier Holdfast made. */
const FIXTURE = path.resolve(__dirname, '..', 'fixtures', 'backups', 'ysql');
const BACKUPS = /^\d{8}T\d{6}Z-[0-9a-f]{6}$/m;

let folder: string;
let file: string;
let backup: string;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-mistakes-'));
  await cp(FIXTURE, path.join(folder, 'repository'), { recursive: true });
  file = path.join(folder, 'plan.yaml');
  await writeFile(
    file,
    `${repositoryDocument(folder)}---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ysql }
spec: { source: { ysql: { connection: { env: ZOO_URL } } }, repository: main }
`,
  );
  // Nothing is started, so that a mistake that is found late fails here.
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    TEMPORAL_ADDRESS: '127.0.0.1:1',
    ZOO_URL: 'postgresql://nobody@127.0.0.1:1/zoo',
  };
  const { stdout } = await holdfast(['list', file, '--json'], environment);
  backup = (JSON.parse(stdout) as { backups: { backup: string }[] }).backups[0]?.backup ?? '';
  expect(backup).toMatch(BACKUPS);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** An error as its two lines, the second of which says what to do. */
function oneError(stderr: string): string {
  const lines = stderr.trimEnd().split('\n');
  expect(lines).toEqual([expect.stringMatching(/^error: /), expect.stringMatching(/^ {2}→ /)]);
  return lines.join('\n');
}

test.each([
  ['verify', (id: string) => ['verify', file, id]],
  ['show', (id: string) => ['show', file, id]],
  ['restore', (id: string) => ['restore', file, '--backup', id]],
  ['restore --explain', (id: string) => ['restore', file, '--backup', id, '--explain']],
  ['drill', (id: string) => ['drill', file, '--backup', id]],
])(
  '%s takes a mistyped backup for a slip, not for damage, and names the one that was meant',
  async (_what, args) => {
    const ended = await holdfast(args(`${backup.slice(0, -1)}x`), environment);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(oneError(ended.stderr)).toMatch(
      new RegExp(`There is no backup .*x of ysql.*\\n.*Did you mean \`${backup}\``),
    );
  },
);

test.each([
  ['x'.repeat(64), /64 bytes.*63/],
  ['', /""/],
])('--into %j is refused before anything is asked, by --explain too', async (name, reason) => {
  for (const more of [['--explain'], []]) {
    const ended = await holdfast(['restore', file, '--into', name, ...more], environment);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(oneError(ended.stderr)).toMatch(reason);
  }
});

test('--explain refuses a database that the backup does not hold', async () => {
  const ended = await holdfast(['restore', file, '--into', 'zooo=copy', '--explain'], environment);
  // The backup is of one database, so this is a name with an equals sign, which is rarely meant.
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(oneError(ended.stderr)).toMatch(/zooo=copy/);
});

test('a taken --health port ends the worker with one line', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as AddressInfo;
  try {
    const ended = await startHoldfast(['worker', '--health', String(port)], environment).end;
    expect(ended.code).toBe(1);
    expect(oneError(ended.stderr)).toMatch(new RegExp(`127\\.0\\.0\\.1:${port}.*EADDRINUSE.*\\n.*--health`));
  } finally {
    other.close();
  }
});

test.each(['/proc/holdfast', '/dev/null/holdfast', '/dev/full'])(
  'the state folder %s ends in one line',
  async (state) => {
    const { TEMPORAL_ADDRESS: _, ...own } = environment;
    const ended = await holdfast(['status'], { ...own, HOLDFAST_STATE_DIR: state });
    expect(ended.code).toBe(1);
    expect(oneError(ended.stderr)).toContain(`can't be kept in ${state}`);
  },
  60_000,
);

test('doctor says once that a server does not answer', async () => {
  const { stdout } = await holdfast(['doctor', file, '--here'], environment);
  expect(stdout.match(/ECONNREFUSED/g)).toHaveLength(1);
  expect(stdout).toMatch(/✘ tables: the same as of "source answers"/);
});
