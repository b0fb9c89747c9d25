import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cacheFolder } from '../../engines/cache-folder.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { blocksOf, brokenPromise, outputOf, scriptOf } from './commands.ts';

/** docs/tutorial.md as a reader follows it: every command, in order, in one shell that starts in the checkout. */
const CHECKOUT = path.resolve(__dirname, '..', '..');

let postgres: PostgresServer;
let home: string;

beforeAll(async () => {
  postgres = await startPostgres({ settings: { wal_level: 'logical' } });
  home = await mkdtemp(path.join(tmpdir(), 'holdfast-tutorial-'));
});
afterAll(async () => {
  // A run that broke off leaves the embedded Temporal and its worker.
  await run(`"${CHECKOUT}/holdfast" down`);
  await postgres?.stop();
  await rm(home, { recursive: true, force: true });
});

/** Runs a script as the reader, who has a home folder of his own and the server's superuser. stderr is part of the output, as on a terminal. */
async function run(script: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const file = path.join(home, 'tutorial.sh');
  await writeFile(file, `exec 2>&1\n${script}`);
  const child = spawn('/bin/sh', [file], {
    cwd: CHECKOUT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      PATH: `${postgres.binDirectory}:${process.env.PATH}`,
      HOME: home,
      // Built programs stay where they are.
      XDG_CACHE_HOME: path.dirname(path.dirname(cacheFolder('compiled'))),
      HOLDFAST_STATE_DIR: path.join(home, 'state'),
      PGHOST: postgres.host,
      PGPORT: String(postgres.port),
      PGUSER: postgres.superuser,
      PGPASSWORD: postgres.password,
    },
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

test('every command of docs/tutorial.md works, in its order, and prints what the page says', async () => {
  const blocks = blocksOf(await readFile(path.join(CHECKOUT, 'docs', 'tutorial.md'), 'utf8'));
  expect(blocks.length).toBeGreaterThan(12);
  expect(blocks.filter(({ promised }) => promised.length > 0).length).toBeGreaterThan(8);
  const { code, output } = await run(scriptOf(blocks));
  const broken = blocks.flatMap(({ commands, promised }, index) => {
    const printed = outputOf(output, index);
    const line = printed === undefined ? 'to be reached' : brokenPromise(promised, printed);
    return line === undefined ? [] : [{ commands, promised: line, printed }];
  });
  if (code !== 0 || broken.length > 0) {
    throw new Error(
      `the page's commands ended with ${code}\n${JSON.stringify(broken, undefined, 2)}\n${output}`,
    );
  }
});

test('a command that fails ends the script, and a promise that is not kept is named', async () => {
  const page =
    '```sh\necho one; echo two\n```\ntext\n```text\no…e\nthree\n```\n```sh\nfalse\n```\n```sh\necho never\n```\n';
  const blocks = blocksOf(page);
  expect(blocks.map(({ promised }) => promised)).toEqual([['o…e', 'three'], [], []]);
  const { code, output } = await run(scriptOf(blocks));
  expect(code).toBe(1);
  expect([0, 1, 2].map((index) => outputOf(output, index))).toEqual(['one\ntwo\n', '', undefined]);
  expect(brokenPromise(['o…e', 'three'], 'one\ntwo\n')).toBe('three');
  expect(brokenPromise(['two', 'one'], 'one\ntwo\n')).toBe('one');
  expect(brokenPromise(['a  (b) … c'], 'a (b)   1 c')).toBeUndefined();
});

test('a block that would be taken for a command and is none is refused', () => {
  expect(() => blocksOf('```bash\nls\n```\n')).toThrow('"bash"');
  expect(() => blocksOf('```text\nwhat nothing printed\n```\n')).toThrow('"text"');
});
