import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { type S3Gateway, startS3Gateway } from '../../../parts/s3.ts';
import { startTemporal, type TemporalServer } from '../../../parts/temporal.ts';
import { openStore } from '../../../repository/open.ts';
import type { Store } from '../../../repository/store.ts';
import { Workers } from '../../crash/workers.ts';
import { query } from '../../support/sql.ts';
import { LEDGER } from './ledger.ts';

const BUCKET = 'archive';
export const PLAN = 'orders';
export const DATABASE = 'orders';

/** All the parts of an archive, each of which may be killed: PostgreSQL, Temporal with its state in a file, an S3 gateway and a worker. */
export interface KillStage {
  readonly postgres: PostgresServer;
  readonly temporal: TemporalServer;
  readonly gateway: S3Gateway;
  readonly workers: Workers;
  readonly store: Store;
  /** Path of the plan file. */
  readonly file: string;
  /** Folder of crash points that the worker looks into. */
  readonly points: string;
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export async function startKillStage(): Promise<KillStage> {
  await using started = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-archive-kills-'));
  started.defer(() => rm(folder, { recursive: true, force: true }));
  const points = path.join(folder, 'points');
  await mkdir(points);
  const postgres = await startPostgres({ settings: { wal_level: 'logical', wal_sender_timeout: '5s' } });
  started.defer(() => postgres.stop());
  const temporal = await startTemporal({ dbFile: path.join(folder, 'temporal.db'), headless: true });
  started.defer(() => temporal.stop());
  const gateway = await startS3Gateway();
  started.defer(() => gateway.stop());
  await gateway.createBucket(BUCKET);
  await query(postgres.url(), `CREATE DATABASE ${DATABASE}`);
  await query(postgres.url(DATABASE), ...LEDGER);
  const environment = {
    TEMPORAL_ADDRESS: temporal.address,
    ORDERS_DATABASE_URL: postgres.url(DATABASE),
    KILLS_S3_KEY: gateway.accessKeyId,
    KILLS_S3_SECRET: gateway.secretAccessKey,
  };
  const store = await openStore(
    {
      name: 'main',
      location: {
        kind: 's3',
        bucket: BUCKET,
        prefix: '',
        region: gateway.region,
        endpoint: gateway.endpoint,
        forcePathStyle: true,
        credentials: { accessKeyId: { env: 'KILLS_S3_KEY' }, secretAccessKey: { env: 'KILLS_S3_SECRET' } },
      },
    },
    (reference) =>
      Promise.resolve(
        'env' in reference && reference.env === 'KILLS_S3_KEY'
          ? gateway.accessKeyId
          : gateway.secretAccessKey,
      ),
  );
  const file = path.join(folder, 'plans.yaml');
  await writeFile(file, plans(gateway));
  const workers = await Workers.start(1, { ...environment, HOLDFAST_CRASH_POINTS: points }, folder);
  started.defer(() => workers.stop());
  const parts = started.move();
  return {
    ...{ postgres, temporal, gateway, workers, store, file, points, environment },
    stop: () => parts.disposeAsync(),
  };
}

function plans({ endpoint, region }: S3Gateway): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec:
  s3: { bucket: ${BUCKET}, endpoint: "${endpoint}", region: ${region}, pathStyle: true, credentials: { accessKeyId: { env: KILLS_S3_KEY }, secretAccessKey: { env: KILLS_S3_SECRET } } }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${PLAN} }
spec:
  source: { ysql: { connection: { env: ORDERS_DATABASE_URL } } }
  repository: main
  pointTime: { archive: { lag: 1s, segmentSize: 1MiB } }
`;
}
