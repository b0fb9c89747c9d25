import type { RestoreContext } from '../../engine.ts';
import { findKeyspace } from '../catalog.ts';
import { createAggregate, createFunction, createKeyspace, createTable, createType } from '../ddl.ts';
import { isAlreadyThere } from '../errors.ts';
import { type CqlSession, withSession } from '../session.ts';
import { applyRoles } from './apply-roles.ts';
import { type KeyspaceJob, type RestoreJob, restoreJob } from './job.ts';
import { checkOurs, Journal, ORIGIN_ITEM, PREPARED_ITEM, RESTORE_ITEM, tableItem } from './journal.ts';

/** Creates keyspaces, types and tables, once. Keeps what an interrupted attempt created. */
export async function prepare(context: RestoreContext): Promise<void> {
  const job = await restoreJob(context);
  await withSession(context, job.target, job.source, async (session) => {
    if (context.request.globals) await applyRoles(job, session);
    for (const keyspace of job.keyspaces) {
      context.heartbeat({ keyspace: keyspace.to });
      await prepareKeyspace(job, keyspace, session);
    }
  });
}

/** The objects that the target can have: YugabyteDB has neither functions nor aggregates (`docs/ycql.md`). */
function carriedBy<T>(session: CqlSession, objects: readonly T[] = []): readonly T[] {
  return session.server.product === 'cassandra' ? objects : [];
}

async function prepareKeyspace(job: RestoreJob, keyspace: KeyspaceJob, session: CqlSession): Promise<void> {
  const { signal, request } = job.context;
  const { to, schema } = keyspace;
  const create = async (what: string, statement: string) => {
    try {
      await session.execute(`create ${what}`, statement, [], signal);
    } catch (error) {
      if (!(error instanceof Error) || !isAlreadyThere(error.cause)) throw error;
    }
  };
  const journal = new Journal(session, to, signal);
  const noted = await journal.find();
  if (noted !== undefined) checkOurs(to, noted, request.restore);
  if (noted?.has(PREPARED_ITEM)) return;

  const existing = await findKeyspace(session, to, signal);
  if (existing === undefined) await create(`keyspace ${to}`, createKeyspace(schema, to));
  await journal.create();
  if (noted?.get(ORIGIN_ITEM) === undefined) {
    await journal.set(ORIGIN_ITEM, existing === undefined ? 'created' : 'existing');
  }
  await journal.set(RESTORE_ITEM, request.restore);
  if (job.withSchema) {
    for (const type of schema.types) await create(`type ${to}.${type.name}`, createType(type, to));
    for (const one of carriedBy(session, schema.functions)) {
      await create(`function ${to}.${one.name}`, createFunction(one, to));
    }
    for (const one of carriedBy(session, schema.aggregates)) {
      await create(`aggregate ${to}.${one.name}`, createAggregate(one, to));
    }
    for (const table of keyspace.tables) {
      // Noted first: a note without a table does no harm, but a table without a note would never be dropped.
      await journal.set(tableItem(table.name), 'created');
      await create(`table ${to}.${table.name}`, createTable(table, to, session.server.product));
      job.context.heartbeat();
    }
  }
  await journal.set(PREPARED_ITEM, new Date().toISOString());
}
