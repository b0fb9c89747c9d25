import type { PostDataWork } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { createIndex, createView } from '../ddl.ts';
import type { IndexSchema, TableSchema, ViewSchema } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import { withSession } from '../shared-session.ts';
import { createUnlessThere } from './create.ts';
import { type RestoreJob, restoreJob } from './job.ts';
import { Journal, viewItem } from './journal.ts';
import { untilBuilt } from './until-built.ts';

/** What is built after the rows are loaded. */
export type PostDataUnit =
  | {
      readonly kind: 'index';
      readonly keyspace: string;
      readonly table: TableSchema;
      readonly index: IndexSchema;
    }
  | { readonly kind: 'view'; readonly keyspace: string; readonly view: ViewSchema };

/**
 * The indexes and materialized views to build, one unit each. The list is the same on every worker, whatever the target is. Leaves out views whose
 * base table isn't restored. Pure.
 */
export function postDataUnits(job: RestoreJob): readonly PostDataUnit[] {
  if (!job.withSchema) return [];
  return job.keyspaces.flatMap(({ to, tables, views }): readonly PostDataUnit[] => [
    ...tables.flatMap((table) =>
      table.indexes.map((index) => ({ kind: 'index' as const, keyspace: to, table, index })),
    ),
    ...views.map((view) => ({ kind: 'view' as const, keyspace: to, view })),
  ]);
}

/**
 * Builds one index or view, and waits until the node that is asked has built it.
 *
 * @throws HoldfastError `RESTORE_NOT_BUILT` (permanent) if it isn't built within 20 hours; `RESTORE_NO_SUCH_UNIT` (permanent)
 */
export async function applyPostData(context: RestoreContext, { unit }: PostDataWork): Promise<void> {
  const job = await restoreJob(context);
  const wanted = postDataUnits(job)[unit];
  if (wanted === undefined) {
    throw permanent(
      'RESTORE_NO_SUCH_UNIT',
      `The restore has no index or view ${unit}`,
      'Start the restore again.',
    );
  }
  const creation = { what: nameOf(wanted), statement: statementFor(wanted) };
  await withSession(context, job.target, job.source, async (session) => {
    if (wanted.kind === 'view') {
      // `docs/ycql.md`: YugabyteDB has no views.
      if (session.server.product !== 'cassandra') return;
      const { name } = wanted.view.table;
      // Whoever made it, it is of this restore's table, which can't be dropped before it.
      for (const keyspace of job.keyspaces.filter(({ to }) => to === wanted.keyspace))
        await Journal.of(session, keyspace, context.signal).set(viewItem(name), 'created');
    }
    await createUnlessThere(session, creation, context.signal);
    await untilBuilt(nameOf(wanted), () => isBuilt(session, wanted, context.signal), context);
  });
}

function nameOf(unit: PostDataUnit): string {
  return unit.kind === 'index'
    ? `index ${unit.index.name} on ${unit.keyspace}.${unit.table.name}`
    : `materialized view ${unit.keyspace}.${unit.view.table.name}`;
}

function statementFor(unit: PostDataUnit): string {
  return unit.kind === 'index'
    ? createIndex(unit.index, unit.table, unit.keyspace)
    : createView(unit.view, unit.keyspace);
}

/** Cassandra lists what is built. YugabyteDB answers CREATE INDEX and backfills by itself, so there is nothing to wait for. */
async function isBuilt(session: CqlSession, unit: PostDataUnit, signal: AbortSignal): Promise<boolean> {
  if (session.server.product !== 'cassandra') return true;
  const [statement, name] =
    unit.kind === 'index'
      ? ['SELECT index_name FROM system."IndexInfo" WHERE table_name = ? AND index_name = ?', unit.index.name]
      : [
          'SELECT view_name FROM system.built_views WHERE keyspace_name = ? AND view_name = ?',
          unit.view.table.name,
        ];
  const built = await session.query(
    `see whether ${nameOf(unit)} is built`,
    statement,
    [unit.keyspace, name],
    signal,
  );
  return built.length > 0;
}
