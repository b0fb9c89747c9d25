import { setTimeout as sleep } from 'node:timers/promises';
import type { PostDataWork } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { createIndex } from '../ddl.ts';
import { isAlreadyThere } from '../errors.ts';
import type { IndexSchema, TableSchema } from '../schema.ts';
import { type CqlSession, withSession } from '../session.ts';
import { type RestoreJob, restoreJob } from './job.ts';

export interface IndexUnit {
  readonly keyspace: string;
  readonly table: TableSchema;
  readonly index: IndexSchema;
}

/** The indexes to build, each by itself; the same list on every worker. Pure. */
export function postDataUnits(job: RestoreJob): readonly IndexUnit[] {
  if (!job.withSchema) return [];
  return job.keyspaces.flatMap(({ to, tables }) =>
    tables.flatMap((table) => table.indexes.map((index) => ({ keyspace: to, table, index }))),
  );
}

const LOOK_EVERY_MS = 250;

/** Builds one index and waits until the node that is asked has built it. */
export async function applyPostData(context: RestoreContext, { unit }: PostDataWork): Promise<void> {
  const job = await restoreJob(context);
  const wanted = postDataUnits(job)[unit];
  if (wanted === undefined) {
    throw permanent('RESTORE_NO_SUCH_UNIT', `The restore has no index ${unit}`, 'Start the restore again.');
  }
  const { keyspace, table, index } = wanted;
  await whileBeating(context, () =>
    withSession(context, job.target, job.source, async (session) => {
      const doing = `create index ${index.name} on ${keyspace}.${table.name}`;
      try {
        await session.execute(doing, createIndex(index, table, keyspace), [], context.signal);
      } catch (error) {
        if (!(error instanceof Error) || !isAlreadyThere(error.cause)) throw error;
      }
      while (!(await isBuilt(session, wanted, context.signal))) {
        await sleep(LOOK_EVERY_MS, undefined, { signal: context.signal });
      }
    }),
  );
}

/** Cassandra lists what is built; YugabyteDB answers CREATE INDEX and backfills by itself. */
async function isBuilt(
  session: CqlSession,
  { keyspace, index }: IndexUnit,
  signal: AbortSignal,
): Promise<boolean> {
  if (session.server.product !== 'cassandra') return true;
  const built = await session.query<{ index_name: string }>(
    `see whether index ${index.name} is built`,
    'SELECT index_name FROM system."IndexInfo" WHERE table_name = ? AND index_name = ?',
    [keyspace, index.name],
    signal,
  );
  return built.length > 0;
}
