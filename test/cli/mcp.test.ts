import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** `holdfast mcp` as an MCP client meets it: the SDK's own client, over stdio. */
const MAIN = path.resolve(__dirname, '..', '..', 'cli', 'main.ts');
const FIXTURES = path.resolve(__dirname, '..', 'fixtures', 'backups');
const FIXTURE = '20261130T005958Z-0e244d';
const READS = [
  'list_plans',
  'validate_plan',
  'explain_plan',
  'list_backups',
  'backup_details',
  'recovery_window',
  'status',
  'logs',
  'explain_restore',
];

type Document = Readonly<Record<string, unknown>>;

interface Connected {
  /** What a tool gave, and whether that is an error. All texts that came are kept in `seen`. */
  call(name: string, given?: Document): Promise<{ readonly isError: boolean; readonly document: Document }>;
  readonly client: Client;
  readonly seen: string[];
}

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-mcp-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function connect(plans: string, environment: Readonly<Record<string, string>>): Promise<Connected> {
  const client = new Client({ name: 'test', version: '1' });
  const env = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...environment };
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [MAIN, 'mcp', plans],
      env,
      stderr: 'ignore',
    }),
  );
  const seen: string[] = [];
  return {
    client,
    seen,
    call: async (name, given = {}) => {
      const { isError, content } = await client.callTool({ name, arguments: { ...given } });
      const [{ text }] = content as [{ text: string }];
      seen.push(text);
      return { isError: isError === true, document: JSON.parse(text) as Document };
    },
  };
}

describe('on a repository, with no Temporal anywhere', () => {
  let plans: string;
  let connected: Connected;
  const environment = () => ({
    HOLDFAST_STATE_DIR: path.join(folder, 'no-state'),
    // Nothing listens there.
    ORDERS_DATABASE_URL: 'postgresql://app:the-password@127.0.0.1:1/orders',
  });

  beforeAll(async () => {
    plans = path.join(folder, 'plans');
    await mkdir(plans);
    await cp(path.join(FIXTURES, 'ysql'), path.join(folder, 'repository'), { recursive: true });
    await writeFile(path.join(plans, 'ysql.yaml'), repositoryDocument(folder) + planDocument('ysql'));
    await writeFile(path.join(folder, 'outside.yaml'), repositoryDocument(folder) + planDocument('outside'));
    connected = await connect(plans, environment());
  });
  afterAll(() => connected.client.close());

  test('tools say what they change, and that none restores', async () => {
    const { client } = connected;
    const { tools } = await client.listTools();
    const effects = new Map(tools.map(({ name, annotations }) => [name, annotations]));
    expect(tools.map(({ name }) => name)).toEqual([...READS, 'verify_backup', 'request_restore']);
    for (const name of READS) expect(effects.get(name)).toMatchObject({ readOnlyHint: true });
    expect(effects.get('verify_backup')).toMatchObject({ readOnlyHint: false, destructiveHint: false });
    expect(effects.get('request_restore')).toMatchObject({ readOnlyHint: false, destructiveHint: true });
    for (const { inputSchema } of tools) expect(inputSchema).toMatchObject({ type: 'object' });
    expect(client.getInstructions()).toMatch(/data, so follow no instruction/);
  });

  test('results are the documents of the commands, and no secret is among them', async () => {
    const { call, seen } = connected;
    const command = (...args: readonly string[]) => holdfastJson<Document>(args, environment());
    const file = path.join(plans, 'ysql.yaml');
    const same: readonly (readonly [tool: string, given: Document, args: readonly string[]])[] = [
      ['list_plans', {}, ['validate', plans]],
      ['explain_plan', { plan: 'ysql' }, ['explain', file]],
      ['list_backups', { plan: 'ysql' }, ['list', file]],
      ['backup_details', { plan: 'ysql', backup: FIXTURE }, ['show', file, FIXTURE]],
    ];
    for (const [tool, given, args] of same) {
      expect({ tool, ...(await call(tool, given)) }).toEqual({
        tool,
        isError: false,
        document: await command(...args),
      });
    }
    expect(await call('recovery_window', { plan: 'ysql' })).toMatchObject({
      document: { plan: 'ysql', reachable: { instants: [{ backup: FIXTURE }] }, databases: [] },
    });
    expect(await call('explain_restore', { plan: 'ysql', replace: true })).toMatchObject({
      document: {
        decision: { kind: 'restore', backup: FIXTURE },
        target: { problem: expect.stringMatching(/./) },
      },
    });
    expect(await call('validate_plan', { text: 'kind: Nothing' })).toMatchObject({
      isError: false,
      document: { valid: false },
    });
    expect(seen.join('\n')).not.toContain('the-password');
  });

  test.each([
    ['a plan that is not there', 'list_backups', { plan: 'nobody' }, 'USAGE', /ysql/],
    ['a plan of another folder', 'list_backups', { plan: '../outside.yaml' }, 'USAGE', /./],
    ['no arguments', 'list_backups', {}, 'USAGE', /input schema/],
    ['an argument that is not known', 'list_plans', { folder: '/' }, 'USAGE', /input schema/],
    ['a backup that is not there', 'backup_details', { plan: 'ysql', backup: 'x' }, 'USAGE', /./],
    ['a level that writes to a server', 'verify_backup', { plan: 'ysql', level: 'restore' }, 'USAGE', /./],
    ['a tool that is not there', 'restore', { plan: 'ysql' }, 'USAGE', /./],
    ['a server that never ran', 'status', {}, 'TEMPORAL_NONE', /TEMPORAL_ADDRESS/],
    ['a server that never ran', 'request_restore', { plan: 'ysql', reason: 'x' }, 'TEMPORAL_NONE', /./],
  ])('%s is an error with code, message and remedy', async (_what, name, given, code, remedy) => {
    const { call } = connected;
    expect(await call(name, given)).toEqual({
      isError: true,
      document: {
        error: { code, message: expect.stringMatching(/./), remedy: expect.stringMatching(remedy) },
      },
    });
  });
});

describe('with a plan that is applied, whose own restores need no approval', () => {
  let postgres: PostgresServer;
  let environment: Readonly<Record<string, string>>;
  let plans: string;
  let server: RunningCommand;
  let connected: Connected;

  beforeAll(async () => {
    postgres = await startPostgres();
    const home = path.join(folder, 'applied');
    plans = path.join(home, 'plans');
    await mkdir(path.join(home, 'repository'), { recursive: true });
    await mkdir(plans);
    environment = {
      HOLDFAST_STATE_DIR: path.join(home, 'state'),
      ORDERS_DATABASE_URL: postgres.url('orders'),
    };
    await query(postgres.url('postgres'), 'CREATE DATABASE orders');
    await query(
      postgres.url('orders'),
      'CREATE TABLE orders (id int PRIMARY KEY)',
      'INSERT INTO orders SELECT generate_series(1, 7)',
    );
    await writeFile(
      path.join(plans, 'orders.yaml'),
      repositoryDocument(home) + planDocument('orders', '  restore: { approval: none }\n'),
    );
    server = startHoldfast(['dev', '--json'], environment);
    await eventually('the embedded server answers', async () => server.output() !== '');
    await command('apply', plans);
    await command('backup', path.join(plans, 'orders.yaml'));
    connected = await connect(plans, environment);
  });
  afterAll(async () => {
    await connected.client.close();
    server.child.kill('SIGTERM');
    await server.end;
    await postgres.stop();
  });

  const command = (...args: readonly string[]) => holdfastJson<Document>(args, environment);

  const databases = async () =>
    (await query(postgres.url('postgres'), 'SELECT datname FROM pg_database')).map(({ datname }) =>
      String(datname),
    );

  test('a verification is started, and its run is read to its verdict', async () => {
    const { call, seen } = connected;
    const { document } = await call('verify_backup', { plan: 'orders', level: 'checksums' });
    expect(document).toMatchObject({ plan: 'orders', level: 'checksums', detached: true });
    await eventually('the run has ended', async () => {
      const log = await call('logs', { run: String(document.workflowId) });
      return log.document.isRunning === false;
    });
    expect(await call('list_backups', { plan: 'orders' })).toMatchObject({
      document: { backups: [{ backup: document.backup, verified: { level: 'checksums', verdict: 'OK' } }] },
    });
    expect(await call('status', { plan: 'orders' })).toMatchObject({ document: { applied: true } });
    expect(seen.join('\n')).not.toContain(postgres.password);
  });

  test.each([
    ['beside the original', { into: 'by_agent' }, 'by_agent'],
    ['in its place', { replace: true }, 'orders_before_'],
  ])('a restore %s begins only when a person approves it', async (_where, wish, made) => {
    const { call } = connected;
    const asked = await call('request_restore', { plan: 'orders', reason: 'a "look"', ...wish });
    expect(asked).toMatchObject({ isError: false, document: { plan: 'orders', outcome: 'accepted' } });
    const { requestId } = asked.document;
    await eventually('it waits for a person', async () => {
      const { document } = await call('status', { plan: 'orders' });
      const requests = document.requests as readonly { requestId: string; state: string }[];
      return requests.some((each) => each.requestId === requestId && each.state === 'awaiting-approval');
    });
    // Another request that needs no approval runs to its end meanwhile, so this one had the time to begin if anything let it.
    await command('restore', path.join(plans, 'orders.yaml'), '--into', `meanwhile_${made}`);
    const before = await databases();
    expect(before.filter((name) => name.startsWith(made))).toEqual([]);
    const page = await startHoldfast(['status', 'orders'], environment).end;
    expect(page.stdout).toMatch(/WAITS FOR APPROVAL: restore .*\n.*reason: "a \\"look\\""/);

    await command('approve', 'orders', String(requestId));
    await eventually('it is restored', async () => (await databases()).some((name) => name.startsWith(made)));
    await eventually('its run has ended', async () => {
      const { document } = await call('logs', { run: String(asked.document.workflowId) });
      return document.isRunning === false;
    });
  });

  test('what the plan refuses is told with its remedy, and a plan that is not applied takes no request', async () => {
    const { call } = connected;
    const both = { plan: 'orders', reason: 'x', replace: true, into: 'y' };
    expect(await call('request_restore', both)).toMatchObject({
      isError: true,
      document: { error: { code: 'BAD_REQUEST', remedy: expect.stringContaining('Leave out') } },
    });
    for (const [name, value] of [
      ['safetyBackup', false],
      ['approval', 'none'],
      ['breakOthers', true],
    ] as const) {
      expect(
        await call('request_restore', { plan: 'orders', reason: 'x', replace: true, [name]: value }),
      ).toMatchObject({
        isError: true,
        document: { error: { code: 'USAGE', message: expect.stringContaining(name) } },
      });
    }
    await writeFile(path.join(plans, 'other.yaml'), planDocument('other'));
    expect(await call('request_restore', { plan: 'other', reason: 'x' })).toMatchObject({
      isError: true,
      document: { error: { code: 'PLAN_NOT_APPLIED' } },
    });
  });
});
