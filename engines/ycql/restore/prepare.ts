import type { RestoreContext } from '../../engine.ts';
import { findKeyspace } from '../catalog.ts';
import { createAggregate, createFunction, createKeyspace, createTable, createType } from '../ddl.ts';
import { isAlreadyThere } from '../errors.ts';
import { type CqlSession, withSession } from '../session.ts';
import { applyRoles } from './apply-roles.ts';
import { type KeyspaceJob, type RestoreJob, restoreJob } from './job.ts';
import {
  aggregateItem,
  checkOurs,
  functionItem,
  Journal,
  ORIGIN_ITEM,
  PREPARED_ITEM,
  RESTORE_ITEM,
  tableItem,
  typeItem,
} from './journal.ts';
import { tableExists } from './refusals.ts';

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
  const journal = new Journal(session, to, signal);
  const noted = await journal.find();
  if (noted !== undefined) checkOurs(to, noted, request.restore);
  if (noted?.has(PREPARED_ITEM)) return;

  const existing = await findKeyspace(session, to, signal);
  if (existing === undefined) {
    // Another attempt of this restore may be creating it too.
    await createUnlessThere(session, `keyspace ${to}`, createKeyspace(schema, to), signal);
  }
  await journal.create();
  if (noted?.get(ORIGIN_ITEM) === undefined) {
    await journal.set(ORIGIN_ITEM, existing === undefined ? 'created' : 'existing');
  }
  await journal.set(RESTORE_ITEM, request.restore);
  if (job.withSchema) {
    /** Returns whether it is this restore's: created now, or by an earlier attempt. */
    const create = async (item: string, what: string, statement: string): Promise<boolean> => {
      // Noted first: a note without an object does no harm, but an object without a note would never be dropped.
      await journal.set(item, 'created');
      if (await createUnlessThere(session, what, statement, signal)) return true;
      if (noted?.has(item)) return true;
      await journal.unset(item);
      return false;
    };
    for (const type of schema.types) {
      await create(typeItem(type.name), `type ${to}.${type.name}`, createType(type, to));
    }
    for (const one of carriedBy(session, schema.functions)) {
      const types = one.arguments.map(({ type }) => type);
      await create(functionItem(one.name, types), `function ${to}.${one.name}`, createFunction(one, to));
    }
    for (const one of carriedBy(session, schema.aggregates)) {
      const item = aggregateItem(one.name, one.argumentTypes);
      await create(item, `aggregate ${to}.${one.name}`, createAggregate(one, to));
    }
    for (const table of keyspace.tables) {
      const statement = createTable(table, to, session.server.product);
      if (!(await create(tableItem(table.name), `table ${to}.${table.name}`, statement))) {
        // Somebody made it since the restore was planned: its rows are theirs, and so is the table.
        throw tableExists(to, table.name);
      }
      job.context.heartbeat();
    }
  }
  await journal.set(PREPARED_ITEM, new Date().toISOString());
}

/** Returns false where there is one of that name already. */
async function createUnlessThere(
  session: CqlSession,
  what: string,
  statement: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await session.execute(`create ${what}`, statement, [], signal);
    return true;
  } catch (error) {
    if (error instanceof Error && isAlreadyThere(error.cause)) return false;
    throw error;
  }
}
