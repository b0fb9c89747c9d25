import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { startTemporal } from '../../../parts/temporal.ts';
import { Workers } from '../../crash/workers.ts';
import { query } from '../../support/sql.ts';

/** What an operator has who archives the changes of a database `orders`: a server that can, Temporal with its state in a file, and a worker. */
export interface OperatorStage {
  /** Holds `repository/` and, once a test writes it, the plan file. */
  readonly folder: string;
  /** Path of the plan file. */
  readonly file: string;
  readonly postgres: PostgresServer;
  readonly workers: Workers;
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** @param tables statements that fill the database */
export async function startOperatorStage(...tables: readonly string[]): Promise<OperatorStage> {
  await using started = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-archive-'));
  started.defer(() => rm(folder, { recursive: true, force: true }));
  const postgres = await startPostgres({ settings: { wal_level: 'logical' } });
  started.defer(() => postgres.stop());
  const temporal = await startTemporal({ dbFile: path.join(folder, 'temporal.db'), headless: true });
  started.defer(() => temporal.stop());
  await mkdir(path.join(folder, 'repository'));
  await query(postgres.url(), 'CREATE DATABASE orders');
  await query(postgres.url('orders'), ...tables);
  const environment = { TEMPORAL_ADDRESS: temporal.address, ORDERS_DATABASE_URL: postgres.url('orders') };
  const workers = await Workers.start(1, environment, folder);
  started.defer(() => workers.stop());
  const parts = started.move();
  return {
    ...{ folder, postgres, workers, environment },
    file: path.join(folder, 'plans.yaml'),
    stop: () => parts.disposeAsync(),
  };
}
