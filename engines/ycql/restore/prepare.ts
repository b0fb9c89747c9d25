import type { RestoreContext } from '../../engine.ts';
import { findKeyspace } from '../catalog.ts';
import { createAggregate, createFunction, createKeyspace, createTable, createType } from '../ddl.ts';
import type { CqlSession } from '../session.ts';
import { withSession } from '../shared-session.ts';
import { applyRoles } from './apply-roles.ts';
import { createNoted, createUnlessThere } from './create.ts';
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
  const journal = Journal.of(session, keyspace, signal);
  const noted = await journal.find();
  if (noted !== undefined) checkOurs(keyspace, noted, request.restore);
  if (noted?.has(PREPARED_ITEM)) return;

  const existing = await findKeyspace(session, to, signal);
  if (existing === undefined) {
    // Another attempt of this restore may be creating it too.
    const creation = { what: `keyspace ${to}`, statement: createKeyspace(schema, to) };
    await createUnlessThere(session, creation, signal);
  }
  await journal.create();
  if (noted?.get(ORIGIN_ITEM) === undefined) {
    await journal.set(ORIGIN_ITEM, existing === undefined ? 'created' : 'existing');
  }
  await journal.set(RESTORE_ITEM, request.restore);
  if (job.withSchema) {
    const create = (item: string, what: string, statement: string): Promise<boolean> =>
      createNoted(session, journal, { item, what, statement, wasNoted: noted?.has(item) === true }, signal);
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
