import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { QueryResultRow } from 'pg';
import pg from 'pg';
import type { ArchiveRequest, Lsn } from '../model/archive.ts';
import { parseLsn } from '../model/archive.ts';
import type { SecretRef } from '../model/pipeline.ts';
import { type PostgresServer, startPostgres } from '../parts/postgres.ts';
import { type S3Gateway, startS3Gateway } from '../parts/s3.ts';
import type { ArchiveProcessEnd, ArchiveProcessInput, ArchiveProcessStored } from './archive-process.ts';

const BUCKET = 'bench';
export const PLAN = 'bench';

export interface Archiver {
  readonly child: ChildProcess;
  /** The segments stored so far. */
  readonly stored: readonly ArchiveProcessStored[];
  readonly end: Promise<ArchiveProcessEnd>;
}

type ArchiveBounds = Pick<ArchiveProcessInput, 'timeline' | 'until'>;

export interface ArchiverProcess {
  readonly child: ChildProcess;
  /** The segments stored so far, of all requests. */
  readonly stored: readonly ArchiveProcessStored[];
  /** Only when the request before has ended. */
  archive(request: ArchiveRequest, of: ArchiveBounds): Promise<ArchiveProcessEnd>;
  stop(): void;
}

/** A source, an S3 gateway, and processes that archive from one to the other. */
export class ArchiveStage {
  readonly postgres: PostgresServer;
  readonly gateway: S3Gateway;

  private constructor(postgres: PostgresServer, gateway: S3Gateway) {
    this.postgres = postgres;
    this.gateway = gateway;
  }

  static async start(): Promise<ArchiveStage> {
    const [postgres, gateway] = await Promise.all([
      startPostgres({ settings: { wal_level: 'logical', shared_buffers: '512MB' } }),
      startS3Gateway(),
    ]);
    await gateway.createBucket(BUCKET);
    return new ArchiveStage(postgres, gateway);
  }

  async stop(): Promise<void> {
    await this.postgres.stop();
    await this.gateway.stop();
  }

  async query(database: string, ...texts: readonly string[]): Promise<readonly QueryResultRow[]> {
    const client = new pg.Client({ connectionString: this.postgres.url(database) });
    await client.connect();
    try {
      let rows: readonly QueryResultRow[] = [];
      for (const text of texts) rows = (await client.query(text)).rows ?? [];
      return rows;
    } finally {
      await client.end();
    }
  }

  async position(): Promise<Lsn> {
    const [row] = await this.query('postgres', 'SELECT pg_current_wal_insert_lsn()::text AS lsn');
    return parseLsn(String(row?.lsn)) ?? '';
  }

  request(database: string, prefix: string, policy: Partial<ArchiveRequest['policy']> = {}): ArchiveRequest {
    const { endpoint, region } = this.gateway;
    return {
      plan: PLAN,
      source: {
        engine: 'ysql',
        connection: { env: 'URL' },
        tables: { include: [], exclude: [] },
        contents: 'all',
        globals: 'none',
        chunkBytes: 16 * 1024 * 1024,
      },
      database,
      repository: {
        name: 'bench',
        location: {
          ...{ kind: 's3', bucket: BUCKET, prefix, region, endpoint, forcePathStyle: true },
          credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
        },
      },
      policy: {
        ...{ lagMs: 5_000, segmentBytes: 16 * 1024 * 1024 },
        ...{ retentionMs: 86_400_000, maxSourceLagBytes: 1024 ** 4 },
        ...policy,
      },
    };
  }

  /** Resolves the request's references to secrets. */
  secretsOf(database: string): (reference: SecretRef) => Promise<string> {
    const { accessKeyId, secretAccessKey } = this.gateway;
    const values: Readonly<Record<string, string>> = {
      KEY: accessKeyId,
      SECRET: secretAccessKey,
      URL: this.postgres.url(database),
    };
    return (reference) => Promise.resolve(('env' in reference ? values[reference.env] : undefined) ?? '');
  }

  /** Archives in a process that ends with it. */
  archive(request: ArchiveRequest, of: ArchiveBounds = {}): Archiver {
    const process = this.startArchiver();
    const end = process.archive(request, of);
    // Whoever awaits it sees why it failed.
    void end.then(process.stop, process.stop);
    return { child: process.child, stored: process.stored, end };
  }

  /** A process that archives one request after the other. */
  startArchiver(): ArchiverProcess {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'archive-process.ts')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const stored: ArchiveProcessStored[] = [];
    let wanted = Promise.withResolvers<ArchiveProcessEnd>();
    createInterface({ input: child.stdout }).on('line', (line) => {
      const report = JSON.parse(line) as ArchiveProcessStored | ArchiveProcessEnd;
      if (report.kind === 'stored') stored.push(report);
      else wanted.resolve(report);
    });
    child.once('close', (code) => wanted.reject(new Error(`the archiver ended with ${code}`)));
    return {
      child,
      stored,
      archive: (request, of) => {
        const { accessKeyId, secretAccessKey } = this.gateway;
        const url = this.postgres.url(request.database);
        const input: ArchiveProcessInput = { request, url, accessKeyId, secretAccessKey, ...of };
        wanted = Promise.withResolvers();
        child.stdin.write(`${JSON.stringify(input)}\n`);
        return wanted.promise;
      },
      stop: () => void child.stdin.end(),
    };
  }

  /** Runs one of PostgreSQL's programs to its end and returns its output. */
  async run(program: string, args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(join(this.postgres.binDirectory, program), [...args], {
      maxBuffer: 1024 ** 3,
    });
    return stdout;
  }

  /** Waits until a client streams from the server. */
  async streamed(): Promise<void> {
    for (let tries = 0; tries < 600; tries += 1) {
      const rows = await this.query('postgres', "SELECT FROM pg_stat_replication WHERE state = 'streaming'");
      if (rows.length > 0) return;
      await sleep(100);
    }
    throw new Error('nobody streams');
  }
}
