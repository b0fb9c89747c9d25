import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { freePort } from '../../parts/ports.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { workflowBundle } from '../../worker/bundle.ts';
import { tracedBundle, traceSinks } from '../../worker/traced-work.ts';
import { type CommandEnd, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { endPromiseHooksAfterwards } from '../support/promise-hooks.ts';
import { query } from '../support/sql.ts';

endPromiseHooksAfterwards();

/** Traces of real runs: commands, a worker, Temporal and PostgreSQL, and a receiver of OTLP. */
const ROW_VALUE = 'value-of-a-row-7f3a';
const PASSWORD = 'hunter2-of-the-receiver';

let postgres: PostgresServer;
let server: TemporalServer;
let receiver: OtlpReceiver;
let connection: Connection;
let client: Client;
let folder: string;
let worker: RunningCommand;

const untraced = () => ({
  TEMPORAL_ADDRESS: server.address,
  ORDERS_DATABASE_URL: postgres.url('orders'),
  OPENTELEMETRY_LOADED: path.join(folder, 'loaded'),
  NODE_OPTIONS: `--import=${pathToFileURL(path.resolve(__dirname, '../support/opentelemetry-loaded.mjs')).href}`,
});
const traced = (endpoint = receiver.endpoint) => ({
  ...untraced(),
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_EXPORTER_OTLP_HEADERS: `authorization=${PASSWORD}`,
  OTEL_SERVICE_NAME: 'backups-of-the-shop',
});

async function holdfast(environment: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<CommandEnd> {
  const end = await startHoldfast(args, environment, folder).end;
  if (end.code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${end.code}\n${end.stderr}`);
  return end;
}

async function startWorker(environment: NodeJS.ProcessEnv): Promise<RunningCommand> {
  const started = startHoldfast(['worker', '--json'], environment, folder);
  await eventually('the worker polls', async () => started.output() !== '');
  return started;
}

async function stop({ child, end }: RunningCommand): Promise<CommandEnd> {
  child.kill('SIGTERM');
  return end;
}

beforeAll(async () => {
  [postgres, server, receiver] = await Promise.all([
    startPostgres(),
    startTemporal({ headless: true }),
    startOtlpReceiver(),
  ]);
  connection = await Connection.connect({ address: server.address });
  client = new Client({ connection });
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-tracing-'));
  await mkdir(path.join(folder, 'repository'));
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    'CREATE TABLE orders (id int PRIMARY KEY, note text)',
    `INSERT INTO orders SELECT n, '${ROW_VALUE}' FROM generate_series(1, 700) n`,
    'CREATE TABLE payments (id int PRIMARY KEY)',
    'INSERT INTO payments VALUES (1)',
  );
  await writeFile(path.join(folder, 'orders.yaml'), repositoryDocument(folder) + planDocument('orders'));
});
afterAll(async () => {
  await connection?.close();
  await Promise.all([receiver?.close(), server?.stop(), postgres?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

/** The spans above one, from it to the first of its trace. Throws if one of them never came. */
function chainOf(span: ReceivedSpan): readonly ReceivedSpan[] {
  if (span.parentSpanId === '') return [span];
  const parent = receiver.spans.find(
    ({ traceId, spanId }) => traceId === span.traceId && spanId === span.parentSpanId,
  );
  if (parent === undefined) throw new Error(`the span above ${span.name} is missing`);
  return [span, ...chainOf(parent)];
}

const namesAbove = (span: ReceivedSpan) => chainOf(span).map(({ name }) => name);

/** The spans of one kind that came after the first `count`, once there are any. */
async function newSpans(count: number, name: string): Promise<readonly ReceivedSpan[]> {
  const found = () => receiver.spans.slice(count).filter((span) => span.name === name);
  await eventually(`a span ${name} comes`, async () => found().length > 0);
  return found();
}

describe('with a receiver', () => {
  beforeAll(async () => {
    worker = await startWorker(traced());
    await holdfast(traced(), 'apply', 'orders.yaml');
  });
  afterAll(() => stop(worker));

  test('one trace leads from the command of a backup to the rows of each table', async () => {
    const before = receiver.spans.length;
    await holdfast(traced(), 'backup', 'orders.yaml');
    await newSpans(before, 'holdfast backup');
    const [run] = await newSpans(before, 'RunWorkflow:backup');
    const parts = await newSpans(before, 'UploadPart');
    const [orders] = parts.filter(({ attributes }) => attributes['holdfast.table'] === 'public.orders');
    if (orders === undefined || run === undefined) throw new Error('public.orders has no span');
    expect(namesAbove(orders)).toEqual([
      'UploadPart',
      'RunActivity:upload',
      'RunWorkflow:backup',
      'HandleUpdate:backup',
      'holdfast backup',
    ]);
    expect(orders.attributes).toMatchObject({ 'holdfast.rows': '700', 'holdfast.database': 'orders' });
    expect(orders.resource).toMatchObject({ 'service.name': 'backups-of-the-shop' });
    const ofRun = receiver.spans.filter(({ parentSpanId }) => parentSpanId === run.spanId);
    expect(ofRun.map(({ name }) => name)).toEqual(
      expect.arrayContaining(
        ['flush', 'snapshot', 'export', 'upload', 'seal'].map((verb) => `RunActivity:${verb}`),
      ),
    );
    expect(new Set(ofRun.map(({ attributes }) => attributes['holdfast.attempt']))).toEqual(new Set(['1']));
    // The activity that holds the snapshot is cancelled at the end, and that is no error.
    expect(ofRun.filter(({ status }) => status === 2)).toEqual([]);
    expect(ofRun.map(({ attributes }) => attributes['error.type'])).toContain('CANCELLED');
    expect(new Set(ofRun.map(({ traceId }) => traceId))).toEqual(new Set([run.traceId]));
  });

  test('a restore is one trace too', async () => {
    const before = receiver.spans.length;
    await holdfast(traced(), 'restore', 'orders.yaml', '--into', 'again');
    await newSpans(before, 'holdfast restore');
    await newSpans(before, 'RunWorkflow:restore');
    const [part] = await newSpans(before, 'LoadPart');
    if (part === undefined) throw new Error('no part was loaded');
    expect(namesAbove(part)).toEqual([
      'LoadPart',
      'RunActivity:load',
      'RunWorkflow:restore',
      'HandleUpdate:restore',
      'holdfast restore',
    ]);
  });

  test('a signal that carries no trace begins one', async () => {
    const before = receiver.spans.length;
    await client.workflow.getHandle('plan:orders').signal('backup', {});
    const [signalled] = await newSpans(before, 'RunWorkflow:backup');
    if (signalled === undefined) throw new Error('no run');
    expect(namesAbove(signalled)).toEqual(['RunWorkflow:backup', 'HandleSignal:backup']);
  });

  test('histories of traced runs replay with tracing and without', async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const plain = await workflowBundle();
    const both = [plain, await tracedBundle(plain)];
    // A replay sends no span.
    const sinks = traceSinks({ record: () => undefined, close: async () => undefined });
    const workflowIds: string[] = [];
    for await (const { workflowId } of client.workflow.list()) workflowIds.push(workflowId);
    expect(workflowIds).toContain('plan:orders');
    for (const workflowId of workflowIds) {
      const history = await client.workflow.getHandle(workflowId).fetchHistory();
      for (const bundle of both)
        await Worker.runReplayHistory({ workflowBundle: bundle, sinks }, history, workflowId);
    }
  });

  test('the receiver gets the credentials, and no value of a row, statement or secret', async () => {
    expect(receiver.requests.length).toBeGreaterThan(0);
    for (const { body, headers } of receiver.requests) {
      expect(headers.authorization).toBe(PASSWORD);
      const text = body.toString('latin1');
      for (const secret of [ROW_VALUE, PASSWORD, postgres.url('orders'), 'SELECT', 'COPY'])
        expect(text).not.toContain(secret);
    }
    const histories = JSON.stringify(await client.workflow.getHandle('plan:orders').fetchHistory());
    expect(histories).not.toContain(PASSWORD);
  });

  test('a run that fails tells its code, and no message', async () => {
    const before = receiver.spans.length;
    await query(postgres.url('postgres'), 'ALTER DATABASE orders RENAME TO away');
    const end = await startHoldfast(['backup', 'orders.yaml'], traced(), folder).end;
    await query(postgres.url('postgres'), 'ALTER DATABASE away RENAME TO orders');
    expect(end.code).toBe(1);
    const [run] = await newSpans(before, 'RunWorkflow:backup');
    expect(run).toMatchObject({
      status: 2,
      attributes: { 'error.type': expect.stringMatching(/^[A-Z_]+$/) },
    });
    const [command] = await newSpans(before, 'holdfast backup');
    expect(command).toMatchObject({ status: 2, attributes: { 'process.exit.code': '1' } });
  });
});

describe.each(['one that is down', 'one that never answers'])(
  'with a receiver that is no help: %s',
  (kind) => {
    test('the backup is made all the same, and worker and command say it once', async () => {
      const silent = kind === 'one that is down' ? undefined : await startOtlpReceiver({ silent: true });
      const endpoint = silent?.endpoint ?? `http://127.0.0.1:${await freePort()}`;
      const environment = { ...traced(endpoint), OTEL_EXPORTER_OTLP_TIMEOUT: '500' };
      const helpless = await startWorker(environment);
      try {
        const { stderr } = await holdfast(environment, 'backup', 'orders.yaml', '--new');
        expect(stderr.match(/Traces can't be sent/g)).toHaveLength(1);
      } finally {
        const { stderr } = await stop(helpless);
        expect(stderr.match(/Traces can't be sent/g)).toHaveLength(1);
        expect(stderr).not.toContain(PASSWORD);
        await silent?.close();
      }
    });
  },
);

test.each([
  [{ OTEL_TRACES_EXPORTER: 'console' }, 'OTEL_TRACES_EXPORTER can be otlp or none, not console'],
  [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'OTEL_EXPORTER_OTLP_PROTOCOL can be http/protobuf'],
])('a worker that is asked for what there is not says so and works: %p', async (more, said) => {
  const started = await startWorker({ ...traced(), ...more });
  expect((await stop(started)).stderr).toContain(said);
});

describe('without the variables, or switched off by them', () => {
  const loaded = () => path.join(folder, 'loaded');

  test('what tells of loaded modules can tell', async () => {
    expect(await readFile(loaded(), 'utf8')).toContain('/@opentelemetry/sdk-trace/');
  });

  test.each([
    ['none of them is set', {}],
    ['OTEL_SDK_DISABLED', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_SDK_DISABLED: 'true' }],
    [
      'OTEL_TRACES_EXPORTER',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_TRACES_EXPORTER: 'none' },
    ],
  ])('nothing of OpenTelemetry is loaded, and histories hold nothing of it: %s', async (_name, more) => {
    await rm(loaded(), { force: true });
    const environment = { ...untraced(), ...more };
    const plain = await startWorker(environment);
    try {
      const { stdout } = await holdfast(environment, 'backup', 'orders.yaml', '--new', '--json');
      const { backup } = JSON.parse(stdout) as { readonly backup: string };
      const history = await client.workflow.getHandle(`backup:orders:${backup}`).fetchHistory();
      expect(JSON.stringify(history)).not.toContain('_tracer-data');
    } finally {
      const { stderr } = await stop(plain);
      expect(stderr).not.toContain('Traces');
    }
    expect(existsSync(loaded())).toBe(false);
  });
});
