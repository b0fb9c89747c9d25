import type { RestoreContext } from '../../engine.ts';
import { quoteName, quoteTable } from '../identifiers.ts';
import { type CqlSession, withSession } from '../session.ts';
import { type KeyspaceJob, type RestoreJob, restoreJob } from './job.ts';
import { Journal, ORIGIN_ITEM, RESTORE_ITEM } from './journal.ts';

/**
 * Drops the keyspaces that this restore created. In a keyspace that was there before, drops the tables and views that the journal names, and the
 * journal. Rows that it wrote into existing tables stay, since nothing distinguishes them from others.
 */
export async function discard(context: RestoreContext): Promise<readonly string[]> {
  const job = await restoreJob(context);
  await withSession(context, job.target, job.source, async (session) => {
    for (const keyspace of job.keyspaces) await discardKeyspace(job, keyspace, session);
  });
  return [];
}

async function discardKeyspace(job: RestoreJob, { to }: KeyspaceJob, session: CqlSession): Promise<void> {
  const { signal, request } = job.context;
  const journal = new Journal(session, to, signal);
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
  await journal.drop();
}
