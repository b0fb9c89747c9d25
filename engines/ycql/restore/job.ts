import type { DataObject } from '../../../model/backup.ts';
import { defined } from '../../../model/defined.ts';
import { permanent } from '../../../model/errors.ts';
import type { ManifestDatabase } from '../../../model/manifest.ts';
import type { YcqlSource } from '../../../model/pipeline.ts';
import { BoundedCache } from '../../../repository/bounded-cache.ts';
import { type RestoreContext, sourceOf } from '../../engine.ts';
import { nameMatcher } from '../../name-patterns.ts';
import { packLoadTasks } from '../../pack-load-tasks.ts';
import { unstopped } from '../../quiet-verb.ts';
import type { KeyspaceSchema, TableSchema, ViewSchema } from '../schema.ts';
import { readSchemaObject } from '../schema-objects.ts';
import { type CqlTarget, resolveTarget } from '../target.ts';
import { restoredName } from './names.ts';
import type { WritingWishes } from './writing-rules.ts';

/** A keyspace of the backup, and what is restored of it. */
export interface KeyspaceJob {
  readonly manifest: ManifestDatabase;
  readonly schema: KeyspaceSchema;
  /** The tables that the request selects. */
  readonly tables: readonly TableSchema[];
  /** Materialized views of these tables that the request doesn't exclude. */
  readonly views: readonly ViewSchema[];
  /** The keyspace that it is restored into. */
  readonly to: string;
}

/** What every part of a restore derives from the manifest and the request. Every worker derives the same. */
export interface RestoreJob {
  readonly context: RestoreContext;
  readonly source: YcqlSource;
  readonly target: CqlTarget;
  readonly keyspaces: readonly KeyspaceJob[];
  /** Tables and views of the backup, as patterns name them. */
  readonly names: ReadonlySet<string>;
  readonly withSchema: boolean;
  readonly withData: boolean;
}

/** Parsed schemas, by their schema objects: a worker takes part in many steps of one restore. */
const parsed = new BoundedCache<KeyspaceSchema>(16 * 1024 * 1024);

/**
 * Derives the job from the request and the backup's schemas. Throws `RESTORE_NO_SUCH_DATABASE` (permanent) if the request names a keyspace that the
 * backup lacks.
 */
export async function restoreJob(context: RestoreContext): Promise<RestoreJob> {
  const { request, manifest } = context;
  const names = manifest.databases.map(({ name }) => name);
  const unknown = Object.keys(request.into).filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    throw permanent(
      'RESTORE_NO_SUCH_DATABASE',
      `The backup holds no keyspace ${unknown.join(', ')}; it holds ${names.join(', ')}`,
      'Correct the names to restore.',
    );
  }
  const { connection } = request;
  const planned = sourceOf(request.source, 'ycql');
  const source = connection === undefined ? planned : { ...planned, connection };
  const target = await resolveTarget(context, source);
  const matcher = nameMatcher(request.tables);
  const keyspaces: KeyspaceJob[] = [];
  const tableNames = new Set<string>();
  for (const database of manifest.databases) {
    const schema = await schemaOf(context, database);
    const tables = schema.tables.filter(({ name }) => matcher.matches(`${schema.keyspace}.${name}`));
    const { views: all = [] } = schema;
    for (const { name } of [...schema.tables, ...all.map(({ table }) => table)])
      tableNames.add(`${schema.keyspace}.${name}`);
    const views = all.filter(
      ({ base, table }) =>
        tables.some(({ name }) => name === base) && !matcher.excluded(`${schema.keyspace}.${table.name}`),
    );
    keyspaces.push({ manifest: database, schema, tables, views, to: restoredName(database.name, request) });
  }
  return {
    context,
    source,
    target,
    // If the request selects tables, keyspaces without any of them are left out.
    keyspaces: matcher.all ? keyspaces : keyspaces.filter(({ tables }) => tables.length > 0),
    names: tableNames,
    withSchema: request.contents !== 'data' && manifest.contents !== 'data',
    withData: request.contents !== 'schema' && manifest.contents !== 'schema',
  };
}

function schemaOf(context: RestoreContext, database: ManifestDatabase): Promise<KeyspaceSchema> {
  return parsed.get(JSON.stringify(database.schemaObjects), () =>
    readSchemaObject(unstopped(context), database),
  );
}

/** The data objects that the request selects, in the manifest's order. */
export async function selectedObjects(job: RestoreJob): Promise<readonly DataObject[]> {
  if (!job.withData) return [];
  const selected = new Set(
    job.keyspaces.flatMap(({ schema, tables }) => tables.map(({ name }) => `${schema.keyspace}.${name}`)),
  );
  const objects = await job.context.dataObjects();
  return objects.filter(({ table }) => selected.has(`${table.database}.${table.table}`));
}

/** Small, since writing a row costs many times what reading it did: a lost worker then loses less work. */
const TASK_BYTES = 8 * 1024 * 1024;

/** What of the job decides how rows are written. */
export function wishesOf({ context: { request }, withSchema }: RestoreJob): WritingWishes {
  const contents = withSchema ? 'all' : 'data';
  return { contents, ...defined({ asNew: request.asNew }) };
}

/** The load tasks in their order, the same on every worker. */
export async function loadTasks(job: RestoreJob): Promise<readonly (readonly DataObject[])[]> {
  return packLoadTasks(await selectedObjects(job), TASK_BYTES);
}

/** The keyspace and table that an object's rows go to. */
export function destinationOf(
  job: RestoreJob,
  { table }: DataObject,
): { readonly keyspace: KeyspaceJob; readonly table: TableSchema } {
  const keyspace = job.keyspaces.find(({ schema }) => schema.keyspace === table.database);
  const found = keyspace?.tables.find(({ name }) => name === table.table);
  if (keyspace !== undefined && found !== undefined) return { keyspace, table: found };
  throw permanent(
    'BACKUP_INCONSISTENT',
    `The backup has data of ${table.database}.${table.table}, which its schema doesn't have`,
    'The manifest is damaged: restore another backup.',
  );
}
