import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { isRunning } from '../support/processes.ts';

/** What the embedded Temporal and its workers are when nobody asked for them: nothing. On a real one. */
interface Processes {
  readonly processes: readonly { readonly kind: string; readonly pid: number; readonly taskQueue?: string }[];
}
/** Each in a process of its own, as from another terminal. */
const holdfast = (args: readonly string[], variables: NodeJS.ProcessEnv) =>
  startHoldfast(args, variables).end;
async function holdfastJson<T>(args: readonly string[], variables: NodeJS.ProcessEnv): Promise<T> {
  const { code, stdout, stderr } = await holdfast([...args, '--json'], variables);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout) as T;
}
let folder: string;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-processes-'));
  await mkdir(path.join(folder, 'repository'));
  await writeFile(path.join(folder, 'orders.yaml'), repositoryDocument(folder) + planDocument('orders'));
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/orders',
  };
});
afterAll(async () => {
  await holdfast(['down'], environment);
  await rm(folder, { recursive: true, force: true });
});

const apply = (more: NodeJS.ProcessEnv, ...args: readonly string[]) =>
  holdfastJson<{ changes: number; plans: { action: string; fields: { field: string }[] }[] }>(
    ['apply', path.join(folder, 'orders.yaml'), ...args],
    { ...environment, ...more },
  );
/** Without the memory that they use, which changes. */
async function processes(): Promise<Processes> {
  const told = await holdfastJson<Processes>(['status', '--processes'], environment);
  return { processes: told.processes.map(({ kind, pid, taskQueue = '' }) => ({ kind, pid, taskQueue })) };
}

/** Files of a folder that others than their owner may read or write. */
async function readableByOthers(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory);
  const modes = await Promise.all(names.map(async (name) => (await stat(path.join(directory, name))).mode));
  return names.filter((_, index) => ((modes[index] ?? 0) & 0o077) !== 0);
}

test('a dry run starts nothing, not even a state folder', async () => {
  expect(await apply({}, '--dry-run')).toMatchObject({ changes: 1, plans: [{ action: 'add' }] });
  expect(existsSync(path.join(folder, 'state'))).toBe(false);
  expect((await processes()).processes).toEqual([]);
  // Neither does asking for versions.
  expect(await holdfastJson(['version', '--all'], environment)).toMatchObject({ server: null, workers: [] });
  expect(existsSync(path.join(folder, 'state'))).toBe(false);
});

test('one worker serves what was applied, from any terminal; down ends everything', async () => {
  // Somebody made the folder before, and everybody may look into it.
  await mkdir(path.join(folder, 'state'), { mode: 0o755 });
  expect(await apply({})).toMatchObject({ changes: 1 });
  expect(await readableByOthers(path.join(folder, 'state'))).toEqual([]);
  const started = (await processes()).processes;
  expect(started.map(({ kind }) => kind)).toEqual(['server', 'worker']);

  const versions = await holdfastJson<{ server: object; workers: { version: string }[] }>(
    ['version', '--all'],
    environment,
  );
  expect(versions.server).toMatchObject({ version: expect.stringMatching(/^1\./) });
  expect(versions.workers).toEqual([
    expect.objectContaining({ taskQueue: started[1]?.taskQueue, version: packageJson.version }),
  ]);

  const elsewhere = { NO_COLOR: '1', TERM: 'screen', TMUX: '/tmp/tmux-0/default,1,0', EDITOR: 'ed' };
  expect(await apply(elsewhere)).toMatchObject({ changes: 0, plans: [{ action: 'none' }] });
  // A terminal in which the plan's variable isn't set.
  expect(await apply({ ORDERS_DATABASE_URL: '' }, '--dry-run')).toMatchObject({ changes: 0 });
  expect(await holdfastJson(['pause', 'orders'], { ...environment, ...elsewhere })).toBeDefined();
  expect((await processes()).processes).toEqual(started);

  const moved = await apply({ ORDERS_DATABASE_URL: 'postgresql://nobody@127.0.0.1:2/orders' }, '--dry-run');
  expect(moved.plans[0]?.fields).toEqual([expect.objectContaining({ field: 'taskQueue' })]);
  expect((await processes()).processes).toEqual(started);

  expect(await holdfastJson(['down'], environment)).toEqual({ stopped: true });
  for (const { pid } of started) expect(await isRunning(pid)).toBe(false);
  expect((await processes()).processes).toEqual([]);

  // What was applied is not known while the server is down; to say "add" would be a guess.
  const unknown = await holdfast(
    ['apply', path.join(folder, 'orders.yaml'), '--dry-run', '--json'],
    environment,
  );
  expect({ code: unknown.code, document: JSON.parse(unknown.stdout) }).toMatchObject({
    code: 1,
    document: { error: { code: 'SERVER_STOPPED', remedy: expect.stringContaining('holdfast dev') } },
  });
  expect((await processes()).processes).toEqual([]);
});
