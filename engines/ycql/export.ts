import type { ObjectEntry, ReadPoint } from '../../model/backup.ts';
import type { ManifestDatabase } from '../../model/manifest.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import type { BackupContext, EngineExport } from '../engine.ts';
import { readSelected } from './catalog.ts';
import { cutTables, estimateBytes, type TableToCut } from './chunks.ts';
import { schemaScript } from './ddl.ts';
import { readTablets } from './dialect.ts';
import { cqlError } from './errors.ts';
import { refuseMasked } from './masked-columns.ts';
import { planReading } from './reading.ts';
import { refuseWhatCannotBeCarried } from './refusals.ts';
import { rolesScript } from './roles.ts';
import type { KeyspaceSchema } from './schema.ts';
import { putSchemaText } from './schema-objects.ts';
import type { CqlSession } from './session.ts';
import { withSession } from './shared-session.ts';
import { resolveTarget } from './target.ts';

/** Writes the schema of every selected keyspace and cuts their tables into chunks. */
export async function exportWorkList(
  verb: BackupContext,
  source: YcqlSource,
  readPoint: ReadPoint,
): Promise<EngineExport> {
  const target = await resolveTarget(verb, source);
  return await withSession(verb, target, source, async (session) => {
    const schemas = await readSelected(session, source, verb.signal);
    refuseWhatCannotBeCarried(schemas);
    if (source.contents !== 'schema')
      await refuseMasked(session, target.login?.username, schemas, verb.signal);
    const commonObjects: ObjectEntry[] = [];
    if (source.globals !== 'none') {
      const script = await rolesScript(session, source.globals === 'roles-with-passwords', verb.signal);
      commonObjects.push(await putSchemaText(verb, readPoint, 'roles', 'cql', script));
    }
    const databases: ManifestDatabase[] = [];
    const tables: TableToCut[] = [];
    for (const [index, schema] of schemas.entries()) {
      verb.heartbeat({ keyspace: schema.keyspace });
      const read = await readTables(verb, session, source, schema);
      if (source.contents !== 'schema') tables.push(...read.map(({ toCut }) => toCut));
      databases.push({
        name: schema.keyspace,
        ...NO_DATABASE_PROPERTIES,
        schemaObjects: await schemaObjects(verb, readPoint, session, schema, index),
        tables: read.map(({ toCut: { table }, losses }) => ({
          schema: schema.keyspace,
          table: table.name,
          rows: 0,
          bytes: 0,
          objects: 0,
          ...(losses.length === 0 ? {} : { losses }),
        })),
        ...(schema.notCarried.length === 0 ? {} : { losses: schema.notCarried }),
      });
    }
    return {
      server: session.server,
      databases,
      commonObjects,
      chunks: cutTables(tables, source.chunkBytes),
    };
  });
}

/** Properties of a YSQL database that a keyspace lacks. */
const NO_DATABASE_PROPERTIES = { owner: '', encoding: 'UTF8', collate: '', ctype: '' } as const;

/**
 * Stores the schema as JSON, from which a restore creates it, and as CQL for people. A backup of data alone needs the JSON too, for the comparison.
 */
async function schemaObjects(
  verb: BackupContext,
  readPoint: ReadPoint,
  session: CqlSession,
  schema: KeyspaceSchema,
  index: number,
): Promise<readonly ObjectEntry[]> {
  const put = (suffix: 'cql' | 'json', text: string) =>
    putSchemaText(verb, readPoint, `${index}/schema`, suffix, text);
  return [
    await put('json', `${JSON.stringify(schema, undefined, 2)}\n`),
    await put('cql', schemaScript(schema, session.server.product)),
  ];
}

async function readTables(
  verb: BackupContext,
  session: CqlSession,
  source: YcqlSource,
  { keyspace, tables }: KeyspaceSchema,
): Promise<readonly { readonly toCut: TableToCut; readonly losses: readonly string[] }[]> {
  const read: { readonly toCut: TableToCut; readonly losses: readonly string[] }[] = [];
  for (const table of tables) {
    const { signal } = verb;
    const { selectors, losses } = await planReading(session, keyspace, table, source.writeTimes, signal);
    try {
      const tablets = await readTablets(session, keyspace, table.name, signal);
      const estimatedBytes =
        source.contents === 'schema' ? 0 : await estimateBytes(session, keyspace, table, selectors, signal);
      read.push({ toCut: { keyspace, table, selectors, tablets, estimatedBytes }, losses });
    } catch (error) {
      throw cqlError(error, `see how large ${keyspace}.${table.name} is`, 'values', signal);
    }
    verb.heartbeat();
  }
  return read;
}
