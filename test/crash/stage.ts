import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { compile } from '../../compiler/compile.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { FOR_NODE } from '../../model/program-environment.ts';
import { freePort } from '../../parts/ports.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { type ServerProcess, startServer } from '../../parts/process.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { type Proxy as Link, startToxiproxy, type Toxiproxy } from '../../parts/toxiproxy.ts';
import { type ConnectedClient, connectClient } from '../../worker/connection.ts';
import { CLIENT_LINES, type ClientLineName } from '../proxy/client-lines.ts';
import { writeYsqlTools } from '../proxy/tools.ts';
import { type BankSize, megabytesOf, openBank, shardBank } from './bank.ts';
import { type ByteRelay, startByteRelay } from './byte-relay.ts';
import { type S3Gate, startS3Gate } from './s3-gate.ts';
import { Workers } from './workers.ts';

export type Path = 'postgresql' | 'yugabytedb';
export const PATHS: readonly Path[] = ['postgresql', 'yugabytedb'];

/** How YugabyteDB divides the bank's tables: by the hash of their keys, by ranges of them, or all in one tablet. */
export type Sharding = 'hash' | 'range' | 'colocated';
export const SHARDINGS: readonly Sharding[] = ['hash', 'range', 'colocated'];

export interface StageOptions {
  readonly path: Path;
  /** Of the bank's large table. */
  readonly size: BankSize;
  /** Of the YugabyteDB path; default `hash`. */
  readonly sharding?: Sharding;
  /** Release line that the YugabyteDB path plays, with the PostgreSQL that it comes from. Default 2025.2. */
  readonly line?: ClientLineName;
}

export const DATABASE = 'bank';
export const BUCKET = 'crash';
const ROLE = 'keeper';
const PASSWORD = 'correct horse';
const WORKERS = 2;
/** Longer than any trial of a bank of up to `PATIENT_UP_TO_MEGABYTES`; each instant keeps a session of the server for so long. */
const HISTORY_RETENTION_MS = 400_000;
const PATIENT_UP_TO_MEGABYTES = 300;

/** How a trial's plan differs from the usual one. */
export interface PlanOptions {
  readonly bucket?: string;
  /** A directory repository instead of the S3 one. */
  readonly directory?: string;
}

/**
 * All the parts, real ones, and what stands between them:
 * worker → [YugabyteDB's dialect →] PostgreSQL, worker → toxiproxy → gate → S3 gateway, worker → Temporal.
 */
export class Stage {
  readonly path: Path;
  /** Of COPY text in the bank's quiet tables. */
  readonly megabytes: number;
  /** Whether the bank was asked for by its rows, and is large. */
  readonly byRows: boolean;
  readonly postgres: PostgresServer;
  /** Counts what workers read from the database. */
  readonly relay: ByteRelay;
  readonly sharding: Sharding;
  /** On the YugabyteDB path the process that speaks its dialect. */
  readonly dialect: ServerProcess | undefined;
  readonly temporal: TemporalServer;
  readonly gateway: S3Gateway;
  readonly gate: S3Gate;
  readonly toxiproxy: Toxiproxy;
  /** The connection from workers to the gate. */
  readonly link: Link;
  readonly workers: Workers;
  readonly client: ConnectedClient;
  readonly scratch: ScratchFolder;
  readonly #urlFile: string;

  private constructor(
    parts: Pick<
      Stage,
      | 'path'
      | 'megabytes'
      | 'byRows'
      | 'postgres'
      | 'relay'
      | 'sharding'
      | 'dialect'
      | 'temporal'
      | 'gateway'
      | 'gate'
      | 'toxiproxy'
      | 'link'
      | 'workers'
      | 'client'
      | 'scratch'
    > & { readonly urlFile: string },
  ) {
    this.path = parts.path;
    this.megabytes = parts.megabytes;
    this.byRows = parts.byRows;
    this.postgres = parts.postgres;
    this.relay = parts.relay;
    this.sharding = parts.sharding;
    this.dialect = parts.dialect;
    this.temporal = parts.temporal;
    this.gateway = parts.gateway;
    this.gate = parts.gate;
    this.toxiproxy = parts.toxiproxy;
    this.link = parts.link;
    this.workers = parts.workers;
    this.client = parts.client;
    this.scratch = parts.scratch;
    this.#urlFile = parts.urlFile;
  }

  static async start({ path, size, sharding = 'hash', line = '2025.2' }: StageOptions): Promise<Stage> {
    const megabytes = megabytesOf(size);
    const scratch = await createScratchFolder('crash');
    const [postgres, temporal, gateway, toxiproxy] = await Promise.all([
      startPostgres({
        settings: { max_connections: '200' },
        ...(path === 'yugabytedb' ? { version: CLIENT_LINES[line].major } : {}),
      }),
      startTemporal({ dbFile: join(scratch.path, 'temporal.db'), headless: true }),
      startS3Gateway(),
      startToxiproxy(),
    ]);
    await gateway.createBucket(BUCKET);
    const gate = await startS3Gate(gateway);
    const link = await toxiproxy.createProxy('s3', `${gate.host}:${gate.port}`);
    await createBankDatabase(postgres, size, sharding);
    const dialect =
      path === 'yugabytedb'
        ? await startDialect(postgres, scratch, {
            line,
            historyRetentionMs: HISTORY_RETENTION_MS * patience(megabytes),
          })
        : undefined;
    const relay = await startByteRelay(dialect?.port ?? postgres.port);
    const urlFile = join(scratch.path, 'database-url');
    const toolFolder = await writeYsqlTools(join(scratch.path, 'yb'), postgres.binDirectory, line);
    const workers = await Workers.start(
      WORKERS,
      {
        TEMPORAL_ADDRESS: temporal.address,
        CRASH_S3_KEY: gateway.accessKeyId,
        CRASH_S3_SECRET: gateway.secretAccessKey,
        ...(path === 'yugabytedb' ? { HOLDFAST_YB_BIN: toolFolder } : {}),
      },
      scratch.path,
    );
    const client = await connectClient(temporal.address);
    const stage = new Stage({
      ...{
        path,
        megabytes,
        byRows: 'rows' in size,
        postgres,
        relay,
        sharding,
        temporal,
        gateway,
        gate,
        toxiproxy,
        link,
        workers,
        client,
        scratch,
        urlFile,
      },
      dialect: dialect?.process,
    });
    await stage.sayPassword(PASSWORD);
    return stage;
  }

  /** What a chunk should give of COPY text. */
  get chunkBytes(): number {
    // PostgreSQL has no index by hash: there each chunk reads the whole table.
    if (this.byRows) return this.sharding === 'hash' ? 32 * 2 ** 20 : 4 * 2 ** 20;
    return this.sharding === 'hash' ? 4 * 2 ** 20 : 2 ** 20;
  }

  /** How many times longer everything may take than with a small bank. */
  get patience(): number {
    return patience(this.megabytes);
  }

  /** As the superuser, past the dialect. */
  get sourceUrl(): string {
    return this.postgres.url(DATABASE);
  }

  /** What the plan's reference names. */
  get urlFile(): string {
    return this.#urlFile;
  }

  get workerLogs(): readonly string[] {
    return Array.from({ length: WORKERS }, (_, index) => join(this.scratch.path, `worker-${index}.log`));
  }

  /** The password that the workers are told. */
  async sayPassword(password: string): Promise<void> {
    const url = `postgresql://${ROLE}:${encodeURIComponent(password)}@127.0.0.1:${this.relay.port}/${DATABASE}`;
    await writeFile(this.#urlFile, url);
  }

  /** The password that the server takes. */
  async setPassword(password: string): Promise<void> {
    await this.admin(`ALTER ROLE ${ROLE} PASSWORD '${password}'`);
  }

  /** Rows of a statement as the superuser. */
  async admin<Row extends Record<string, unknown>>(
    sql: string,
    database = 'postgres',
  ): Promise<readonly Row[]> {
    const client = new Client({
      connectionString: this.postgres.url(database),
      application_name: 'crash admin',
    });
    await client.connect();
    try {
      return (await client.query<Row>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  plan(options: PlanOptions = {}): CompiledPlan {
    const location =
      options.directory === undefined
        ? `s3: { bucket: ${options.bucket ?? BUCKET}, prefix: crash, region: ${this.gateway.region}, endpoint: "http://${this.link.host}:${this.link.port}", pathStyle: true, credentials: { accessKeyId: { env: CRASH_S3_KEY }, secretAccessKey: { env: CRASH_S3_SECRET } } }`
        : `directory: ${options.directory}`;
    const text = `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec:
  ${location}
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: bank }
spec:
  source: { ysql: { connection: { file: "${this.#urlFile}" }, chunkSize: ${this.chunkBytes / 2 ** 20}MiB } }
  repository: main
  steps: [flush, snapshot, export, upload: { parallelism: ${PARALLELISM} }, verify: { level: checksums }]
`;
    const { plans, diagnostics } = compile([{ path: 'crash.yaml', text }]);
    const [plan] = plans;
    if (plan === undefined) throw new Error(`the plan has errors: ${JSON.stringify(diagnostics)}`);
    return plan;
  }

  /** Everything runs again, and nothing stands in the way. */
  async heal(): Promise<void> {
    await this.toxiproxy.reset();
    this.gate.refuse(0, () => 1);
    for (const server of [this.temporal, this.gateway, this.postgres, this.dialect]) {
      if (server !== undefined && server.pid === undefined) await server.restart();
    }
    await this.setPassword(PASSWORD);
    await this.sayPassword(PASSWORD);
    await this.workers.ready();
  }

  async stop(): Promise<void> {
    await this.workers.stop();
    await this.client.connection.close();
    await this.relay.stop();
    await this.dialect?.stop();
    await Promise.all([
      this.postgres.stop(),
      this.temporal.stop(),
      this.toxiproxy.stop(),
      this.gate.stop(),
      this.gateway.stop(),
    ]);
    await this.scratch.remove();
  }

  /** The end of each worker's log, for a report of a failed trial. */
  async workerSaid(): Promise<string> {
    const logs = await Promise.all(this.workerLogs.map((file) => readFile(file, 'utf8')));
    return logs.map((log) => log.split('\n').slice(-15).join('\n')).join('\n');
  }
}

function patience(megabytes: number): number {
  return Math.max(1, megabytes / PATIENT_UP_TO_MEGABYTES) * (megabytes > PATIENT_UP_TO_MEGABYTES ? 2 : 1);
}

/** Chunks in flight of one backup. */
export const PARALLELISM = 4;

async function createBankDatabase(
  postgres: PostgresServer,
  size: BankSize,
  sharding: Sharding,
): Promise<void> {
  const client = new Client({ connectionString: postgres.url() });
  await client.connect();
  await client.query(`CREATE ROLE ${ROLE} SUPERUSER LOGIN PASSWORD '${PASSWORD}'`);
  await client.query(`CREATE DATABASE ${DATABASE} OWNER ${ROLE}`);
  await client.end();
  await openBank(postgres.url(DATABASE), size);
  if (sharding !== 'hash') await shardBank(postgres.url(DATABASE), sharding);
}

async function startDialect(
  postgres: PostgresServer,
  scratch: ScratchFolder,
  { line, historyRetentionMs }: { readonly line: ClientLineName; readonly historyRetentionMs: number },
): Promise<{ readonly process: ServerProcess; readonly port: number }> {
  const port = await freePort();
  const server = await startServer({
    name: 'YugabyteDB dialect',
    command: process.execPath,
    args: [
      ...['test/proxy/main.ts', '--upstream', postgres.url(), '--port', String(port)],
      ...['--history-retention-ms', String(historyRetentionMs), '--line', line],
    ],
    variables: FOR_NODE,
    logFile: join(scratch.path, 'dialect.log'),
    checkReady: async () => {
      const client = new Client({
        connectionString: postgres.url().replace(`:${postgres.port}/`, `:${port}/`),
      });
      await client.connect();
      await client.end();
    },
  });
  return { process: server, port };
}
