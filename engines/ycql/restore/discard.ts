import type { RestoreContext } from '../../engine.ts';
import { quoteName, quoteTable } from '../identifiers.ts';
import type { KeyspaceSchema } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import { withSession } from '../shared-session.ts';
import { type KeyspaceJob, type RestoreJob, restoreJob } from './job.ts';
import { aggregateItem, functionItem, Journal, ORIGIN_ITEM, RESTORE_ITEM, typeItem } from './journal.ts';

/**
 * Drops the keyspaces that this restore created. In a keyspace that was there before, drops the tables, views, types, functions and aggregates that the
 * journal names, and the journal. Rows that it wrote into existing tables stay, since nothing distinguishes them from others.
 */
export async function discard(context: RestoreContext): Promise<readonly string[]> {
  const job = await restoreJob(context);
  await withSession(context, job.target, job.source, async (session) => {
    for (const keyspace of job.keyspaces) await discardKeyspace(job, keyspace, session);
  });
  return [];
}

async function discardKeyspace(job: RestoreJob, keyspace: KeyspaceJob, session: CqlSession): Promise<void> {
  const { to, schema } = keyspace;
  const { signal, request } = job.context;
  const journal = Journal.of(session, keyspace, signal);
  const noted = await journal.find();
  if (noted === undefined) return;
  // Until the restore's name is noted, it has created nothing but the journal.
  const owner = noted.get(RESTORE_ITEM);
  if (owner !== undefined && owner !== request.restore) return;
  if (noted.get(ORIGIN_ITEM) === 'created') {
    await session.execute(`drop keyspace ${to}`, `DROP KEYSPACE IF EXISTS ${quoteName(to)}`, [], signal);
    return;
  }
  // A table can't be dropped while it has views.
  for (const item of noted.keys()) {
    if (!item.startsWith('view ')) continue;
    const view = quoteTable(to, item.slice('view '.length));
    await session.execute(`drop view ${view}`, `DROP MATERIALIZED VIEW IF EXISTS ${view}`, [], signal);
  }
  for (const item of noted.keys()) {
    if (!item.startsWith('table ')) continue;
    const table = quoteTable(to, item.slice('table '.length));
    await session.execute(`drop table ${table}`, `DROP TABLE IF EXISTS ${table}`, [], signal);
  }
  await dropDefinitions(session, to, schema, noted, signal);
  await journal.drop();
}

/** In the reverse of the order in which they were created, since later ones use earlier ones. */
async function dropDefinitions(
  session: CqlSession,
  to: string,
  { aggregates = [], functions = [], types }: KeyspaceSchema,
  noted: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const made = [
    ...types.map(({ name }) => [typeItem(name), `TYPE IF EXISTS ${quoteTable(to, name)}`] as const),
    ...functions.map(({ name, arguments: given }) => {
      const of = given.map(({ type }) => type);
      return [
        functionItem(name, of),
        `FUNCTION IF EXISTS ${quoteTable(to, name)} (${of.join(', ')})`,
      ] as const;
    }),
    ...aggregates.map(
      ({ name, argumentTypes: of }) =>
        [aggregateItem(name, of), `AGGREGATE IF EXISTS ${quoteTable(to, name)} (${of.join(', ')})`] as const,
    ),
  ];
  for (const [item, what] of made.toReversed()) {
    if (noted.has(item)) await session.execute(`drop ${item} of ${to}`, `DROP ${what}`, [], signal);
  }
}
