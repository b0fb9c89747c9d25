import type { LogicalReadPoint, ObjectEntry } from '../../model/backup.ts';
import type { ManifestDatabase } from '../../model/manifest.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { BackupContext, EngineExport } from '../engine.ts';
import { whileBeating } from '../heartbeat.ts';
import { type Relation, readRelations, type Selection, select, selectedDatabases } from './catalog.ts';
import { cutTables, readShapes, type TableToCut } from './chunks.ts';
import { lostByYsqlDump } from './lost-by-dump.ts';
import { type Placement, readPlacement, withPlacement } from './placement.ts';
import { lossesOfStockDump } from './programs/dump-driver.ts';
import { withPresent, withReader } from './reader.ts';
import { refuseWhatCannotBeCarried } from './refusals.ts';
import { dumpGlobals, dumpSchema, withoutDanglingForeignKeys } from './schema-dump.ts';
import { putScript, type ScriptName } from './scripts.ts';
import { readServer, type Server } from './server.ts';
import { onlyRow, resolveTarget, type Session } from './session.ts';

/** Writes the schema of every selected database and cuts their tables into chunks, all at the read point. */
export async function exportWorkList(
  verb: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
): Promise<EngineExport> {
  const target = await resolveTarget(verb, source.connection);
  return await whileBeating(verb, async (tell) => {
    const { server, names } = await withPresent(target, target.database, verb.signal, async (session) => ({
      server: await readServer(session),
      names: await databasesAt(session, target, source, readPoint),
    }));
    const from = { verb, target, readPoint, server, dumpProgram: source.dumpProgram };
    const commonObjects: ObjectEntry[] = [];
    if (source.globals !== 'none') {
      commonObjects.push(
        await putScript(verb, readPoint, 'globals', await dumpGlobals(from, source.globals)),
      );
    }
    const databases: ManifestDatabase[] = [];
    const tables: TableToCut[] = [];
    for (const [index, name] of names.entries()) {
      tell({ database: name });
      await withReader(target, name, readPoint, verb.signal, async (reader) => {
        const selection = await select(reader, await readRelations(reader), source);
        await refuseWhatCannotBeCarried(reader, source, selection);
        const toCut = source.contents === 'schema' ? [] : await tablesToCut(reader, selection, server);
        tables.push(...toCut);
        const schemaObjects: ObjectEntry[] = [];
        if (source.contents !== 'data') {
          const scripts = await dumpSchema(from, reader, selection);
          const kept = await withoutDanglingForeignKeys(reader, scripts.postData, selection);
          const postData =
            server.product === 'yugabytedb' ? kept + (await lostByYsqlDump(reader, selection)) : kept;
          const placement: Placement =
            server.product === 'yugabytedb'
              ? await readPlacement(reader, verb.log)
              : { tablegroups: [], relations: [] };
          const put = (script: ScriptName, text: string) =>
            putScript(verb, readPoint, `${index}/${script}`, text);
          schemaObjects.push(
            ...(await Promise.all([
              put('database', scripts.database),
              put('pre-data', withPlacement(scripts.preData, placement, 'pre-data')),
              put('post-data', withPlacement(postData, placement, 'post-data')),
            ])),
          );
        }
        databases.push({
          name,
          ...(await databaseProperties(reader)),
          schemaObjects,
          ...(source.contents === 'data' ? {} : lossesOf(server, source)),
          tables: toCut.map(({ table: { schema, table } }) => ({
            schema,
            table,
            rows: 0,
            bytes: 0,
            objects: 0,
          })),
        });
      });
    }
    return {
      server: { product: server.product, version: server.version },
      databases,
      commonObjects,
      chunks: cutTables(tables, server.product, source.chunkBytes),
    };
  });
}

function lossesOf(server: Server, source: YsqlSource): Pick<ManifestDatabase, 'losses'> {
  const losses = lossesOfStockDump(server, source.dumpProgram);
  return losses.length === 0 ? {} : { losses };
}

/** A snapshot names its databases; those of an instant are listed again. */
async function databasesAt(
  session: Session,
  target: Parameters<typeof selectedDatabases>[1],
  source: YsqlSource,
  readPoint: LogicalReadPoint,
): Promise<readonly string[]> {
  if (readPoint.kind === 'pg-snapshot') return Object.keys(readPoint.snapshots);
  return await selectedDatabases(session, target, source);
}

async function tablesToCut(
  reader: Session,
  selection: Selection,
  server: Server,
): Promise<readonly TableToCut[]> {
  const shapes = await readShapes(reader, selection.data, server.product);
  return selection.data.flatMap((relation: Relation) => {
    const shape = shapes.get(relation.oid);
    if (shape === undefined) return [];
    const { schema, table, configCondition } = relation;
    return [
      { table: { database: reader.database, schema, table }, shape, condition: configCondition ?? undefined },
    ];
  });
}

/** What a manifest tells of the database itself. */
export async function databaseProperties(
  reader: Session,
): Promise<Pick<ManifestDatabase, 'owner' | 'encoding' | 'collate' | 'ctype'>> {
  const rows = await reader.query<{ owner: string; encoding: string; collate: string; ctype: string }>(
    `read the properties of database "${reader.database}"`,
    `SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype
     FROM pg_catalog.pg_database WHERE datname = current_database()`,
  );
  return onlyRow(rows, 'the properties of the database');
}
