import { isDeepStrictEqual } from 'node:util';
import type { RestorePlan } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { keyspaceNameProblem } from '../../../model/target-name.ts';
import { refuseMissingContents } from '../../contents-check.ts';
import type { RestoreContext } from '../../engine.ts';
import { refuseUnknownNames } from '../../name-patterns.ts';
import { findKeyspace } from '../catalog.ts';
import { nativeTypes, parseType } from '../cql-type.ts';
import { journalTableFor } from '../journal-table.ts';
import {
  type AggregateSchema,
  allColumns,
  type FunctionSchema,
  type KeyspaceSchema,
  type UserType,
} from '../schema.ts';
import type { CqlSession } from '../session.ts';
import { withSession } from '../shared-session.ts';
import { checkFeatures } from './features.ts';
import { type KeyspaceJob, loadTasks, type RestoreJob, restoreJob, selectedObjects } from './job.ts';
import { checkOurs, Journal } from './journal.ts';
import { postDataUnits } from './post-data.ts';
import { definitionDiffers, tableExists } from './refusals.ts';
import { checkRowsThere, checkTakesRows } from './tables-there.ts';

/** Checks everything that can be checked before anything is written, and says what will be done. */
export async function planRestore(context: RestoreContext): Promise<RestorePlan> {
  const job = await restoreJob(context);
  checkRequest(job);
  await withSession(context, job.target, job.source, async (session) => {
    if (job.withSchema) await checkFeatures(job.keyspaces, session, context.signal);
    for (const keyspace of job.keyspaces) await checkKeyspace(job, keyspace, session);
  });
  const objects = await selectedObjects(job);
  const sum = (value: (object: (typeof objects)[number]) => number) =>
    objects.reduce((total, object) => total + value(object), 0);
  const units = postDataUnits(job).length;
  return {
    databases: job.keyspaces.map(({ schema, to }) => ({ from: schema.keyspace, to })),
    tasks: (await loadTasks(job)).length,
    rows: sum(({ rows }) => rows),
    bytes: sum(({ bytes }) => bytes),
    storedBytes: sum(({ sizeBytes }) => sizeBytes),
    postDataWaves: units === 0 ? [] : [units],
  };
}

function checkRequest({ context: { request, manifest }, keyspaces, names }: RestoreJob): void {
  if (request.replace) {
    throw permanent(
      'RESTORE_CANNOT_REPLACE',
      'A keyspace can’t be renamed, so none can take the place of another',
      'Restore into a new keyspace (--into NAME); or drop the tables yourself and restore into the old one.',
    );
  }
  if (request.owner !== undefined) {
    throw permanent('RESTORE_NO_OWNERS', 'Tables of CQL have no owner', 'Leave out --owner.');
  }
  if (request.placement === 'target') {
    throw permanent(
      'RESTORE_NO_PLACEMENT',
      'A backup of CQL holds no splits, so there is nothing to leave to the target',
      'Leave out --placement.',
    );
  }
  refuseMissingContents(request, manifest.contents, 'tables that are there');
  refuseUnknownNames(request.tables, names);
  const isEmpty = manifest.databases.every(({ tables }) => tables.length === 0);
  if (!isEmpty && keyspaces.every(({ tables }) => tables.length === 0)) {
    throw permanent(
      'RESTORE_NOTHING_SELECTED',
      `No table of the backup matches ${request.tables.include.join(', ') || 'the patterns'}`,
      'Write patterns over keyspace.table, e.g. shop.orders; `holdfast show` lists the tables.',
    );
  }
  for (const { to } of keyspaces) {
    const wrong = keyspaceNameProblem(to);
    if (wrong !== undefined) throw permanent('RESTORE_BAD_NAME', wrong.problem, wrong.remedy);
  }
}

async function checkKeyspace(job: RestoreJob, keyspace: KeyspaceJob, session: CqlSession): Promise<void> {
  const { signal, request } = job.context;
  checkTypes(keyspace, session);
  const existing = await findKeyspace(session, keyspace.to, signal);
  if (existing === undefined) {
    if (job.withSchema) return checkReplication(keyspace.schema, session);
    throw permanent(
      'RESTORE_TABLE_MISSING',
      `There is no keyspace ${keyspace.to} to restore rows into`,
      'Create it with its tables, or restore the schema too.',
    );
  }
  refuseTakenName(keyspace, existing);
  const noted = await Journal.of(session, keyspace, signal).find();
  if (noted !== undefined) checkOurs(keyspace, noted, request.restore);
  if (job.withSchema) checkDefinitions(keyspace, existing);
  for (const table of keyspace.tables) {
    if (job.withSchema) {
      const isThere = existing.tables.some(({ name }) => name === table.name);
      if (isThere && noted === undefined) throw tableExists(keyspace.to, table.name);
    } else {
      checkTakesRows(job, keyspace, table, existing, session);
      if (noted === undefined) await checkRowsThere(job, keyspace.to, table, session);
    }
  }
}

/** The journal's name may be taken by somebody's table or view: catalogues don't list a journal. */
function refuseTakenName({ to, schema }: KeyspaceJob, { tables, views = [] }: KeyspaceSchema): void {
  const name = journalTableFor(schema);
  const taken = [...tables, ...views.map(({ table }) => table)].some((one) => one.name === name);
  if (!taken) return;
  throw permanent(
    'RESTORE_NAME_TAKEN',
    `There is a table ${to}.${name}, which is no restore's, and a restore notes its progress in a table of that name`,
    'Restore into another keyspace (--into NAME).',
  );
}

/** Types that each server lacks; see docs/ycql.md. */
const MISSING_TYPES = {
  yugabytedb: ['ascii', 'duration', 'tuple', 'vector'],
  cassandra: ['jsonb'],
} as const;

function checkTypes({ schema, tables }: KeyspaceJob, session: CqlSession): void {
  const { product, version } = session.server;
  const lacks: readonly string[] = MISSING_TYPES[product];
  const fieldsOfTypes = schema.types.flatMap(({ name, fields }) =>
    fields.map((field) => ({ what: `type ${name} field ${field.name}`, type: field.type })),
  );
  const columns = tables.flatMap((table) =>
    allColumns(table).map(({ name, type }) => ({ what: `${table.name} column ${name}`, type })),
  );
  const missing = [...fieldsOfTypes, ...columns].filter(({ type }) =>
    nativeTypes(parseType(type)).some((name) => lacks.includes(name)),
  );
  if (missing.length === 0) return;
  throw permanent(
    'RESTORE_TYPE_MISSING',
    `The target, ${product} ${version}, has no such types: ${missing.map(({ what, type }) => `${what} (${type})`).join('; ')}`,
    'Restore to a server of the kind that the backup is of, or leave these tables out (--exclude-tables).',
  );
}

function checkReplication({ replication, keyspace }: KeyspaceSchema, session: CqlSession): void {
  if (session.server.product === 'yugabytedb' || !/NetworkTopologyStrategy$/.test(replication.class ?? ''))
    return;
  const known = session.nodes.dataCenters;
  const unknown = Object.keys(replication).filter(
    (name) => name !== 'class' && name !== 'replication_factor' && !known.has(name),
  );
  if (unknown.length === 0) return;
  throw permanent(
    'RESTORE_REPLICATION',
    `Keyspace ${keyspace} is replicated over the data centre ${unknown.join(', ')}, which the target lacks; it has ${[...known].join(', ')}`,
    'Create the keyspace yourself with the replication that it should have, and restore --into it.',
  );
}

/** Types, functions and aggregates that are there already are used as they are, so they must be the backup's. */
function checkDefinitions({ schema, to }: KeyspaceJob, there: KeyspaceSchema): void {
  const kinds = [
    ['type', schema.types, there.types],
    ['function', schema.functions ?? [], there.functions ?? []],
    ['aggregate', schema.aggregates ?? [], there.aggregates ?? []],
  ] as const;
  for (const [kind, wanted, found] of kinds) {
    const known = new Map(found.map((one) => [signatureOf(one), one]));
    const other = wanted.find((one) => {
      const same = known.get(signatureOf(one));
      return same !== undefined && !isDeepStrictEqual(same, one);
    });
    if (other !== undefined) throw definitionDiffers(kind, to, other.name);
  }
}

/** A name stands for several functions, told apart by the types of their arguments. */
function signatureOf(one: UserType | FunctionSchema | AggregateSchema): string {
  if ('arguments' in one) return `${one.name}(${one.arguments.map(({ type }) => type).join(', ')})`;
  return 'argumentTypes' in one ? `${one.name}(${one.argumentTypes.join(', ')})` : one.name;
}
