import { chmod, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openYbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { takesOption } from '../../engines/ysql/server/programs/options.ts';
import { runProgram } from '../../engines/ysql/server/programs/run.ts';
import { startServer } from '../../parts/process.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal } from '../../parts/temporal.ts';

/** What the programs that Holdfast starts are told: a stand-in for each prints its environment, and the real Temporal is asked of the system. */
const SECRETS: Readonly<Record<string, string>> = {
  ORDERS_DATABASE_URL: 'postgresql://backup:hunter2@db.example/orders',
  AWS_SECRET_ACCESS_KEY: 'hunter2',
  TEMPORAL_API_KEY: 'hunter2',
  CI_TOKEN: 'hunter2',
  OTEL_EXPORTER_OTLP_HEADERS: 'authorization=hunter2',
};
let scratch: ScratchFolder;
let program: string;
const before = { ...process.env };

beforeAll(async () => {
  scratch = await createScratchFolder('environment');
  program = path.join(scratch.path, 'stand-in');
  await writeFile(program, '#!/bin/sh\nenv\n');
  await chmod(program, 0o755);
  Object.assign(process.env, SECRETS, { PGPASSFILE: '/etc/pgpass', PGHOST: 'elsewhere.example' });
});
afterAll(async () => {
  process.env = before;
  await scratch.remove();
});

const signal = new AbortController().signal;

test.each([
  [
    'pg_dump, ysql_dump, psql',
    async () => {
      const found = { path: program, kind: 'dump', product: 'postgresql', version: '15', major: 15 } as const;
      const target = parseConnectionUrl('postgresql://me:mine@127.0.0.1:1/shop');
      return String(await runProgram(found, target, 'shop', [], signal));
    },
    ['PATH', 'PGPASSWORD', 'PGPASSFILE'],
  ],
  [
    'yb-admin',
    async () => (await openYbAdmin({ masters: ['127.0.0.1:7100'], program }, signal)).run('list', []),
    ['PATH', 'TZ'],
  ],
  [
    'a program that is asked for its options',
    async () => {
      const asking = path.join(scratch.path, 'asked');
      const seen = path.join(scratch.path, 'seen');
      await writeFile(asking, `#!/bin/sh\nenv > '${seen}'\necho "unrecognized option '--x'" >&2\nexit 1\n`);
      await chmod(asking, 0o755);
      await takesOption({ path: asking, product: 'postgresql', version: '15', major: 15 }, '--read-time=1');
      return readFile(seen, 'utf8');
    },
    ['PATH', 'LC_ALL'],
  ],
  [
    'a server',
    async () => {
      const logFile = path.join(scratch.path, 'server.log');
      // A server that ends at once has failed to start, so this one stays until it is stopped.
      const staying = path.join(scratch.path, 'server');
      await writeFile(staying, '#!/bin/sh\nenv\necho ready\nexec sleep 600\n');
      await chmod(staying, 0o755);
      const checkReady = async () => expect(await readFile(logFile, 'utf8')).toContain('ready\n');
      const server = await startServer({ name: 'stand-in', command: staying, args: [], logFile, checkReady });
      await server.stop();
      return readFile(logFile, 'utf8');
    },
    ['PATH'],
  ],
  [
    'the real Temporal',
    async () => {
      const temporal = await startTemporal();
      try {
        return (await readFile(`/proc/${temporal.pid}/environ`, 'utf8')).replaceAll('\0', '\n');
      } finally {
        await temporal.stop();
      }
    },
    ['PATH', 'HOME'],
  ],
])('%s gets no secret that it does not need', async (_what, run, expected) => {
  const told = await run();
  const names = told.split('\n').map((line) => line.slice(0, line.indexOf('=')));
  expect(names).toEqual(expect.arrayContaining([...expected]));
  expect(names.filter((name) => name in SECRETS || name === 'PGHOST')).toEqual([]);
  expect(told).not.toContain('hunter2');
});
