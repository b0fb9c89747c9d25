import { formatAmount } from '../../model/amounts.ts';
import type { LogicalReadPoint, ObjectEntry } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import type { ManifestDatabase } from '../../model/manifest.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { BackupContext, EngineExport } from '../engine.ts';
import { sideBySide } from '../side-by-side.ts';
import { isExactInBinary, readsBinary } from './binary-types.ts';
import { cutTables, type TableToCut } from './chunks.ts';
import { isGone, requireAny, selectedDatabases, tellGone } from './databases.ts';
import type { SchemaScripts } from './dump-sections.ts';
import { readHiddenCalls } from './hidden-calls.ts';
import {
  carriesLargeObjects,
  findLargeObjects,
  LARGE_OBJECT_PAGES,
  largeObjectsScript,
} from './large-objects.ts';
import { lostByYsqlDump } from './lost-by-dump.ts';
import { type Placement, readPlacement, withPlacement } from './placement.ts';
import { refuseWhatCannotBeCarried } from './refusals.ts';
import { dumpSchema, withoutDanglingForeignKeys } from './schema-dump.ts';
import { readRelations, select } from './server/catalog.ts';
import { databaseProperties } from './server/database-properties.ts';
import { dumpGlobals } from './server/globals-dump.ts';
import { tableName } from './server/identifiers.ts';
import { lossesOfStockDump } from './server/programs/dump-driver.ts';
import { withPresent, withReader } from './server/reader.ts';
import { putScript, type ScriptName } from './server/scripts.ts';
import { readServer } from './server/server.ts';
import { resolveTarget, type Session } from './server/session.ts';
import { givingLocksBack, tablesLockedAtOnce } from './slices/unlocked-tables.ts';
import { tablesToCut } from './table-cuts.ts';

/** Writes the schema of every selected database and cuts the tables into chunks, all at the read point. */
export async function exportWorkList(
  verb: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
): Promise<EngineExport> {
  const target = await resolveTarget(verb, source.connection);
  const { server, names } = await withPresent(target, target.database, verb.signal, async (session) => ({
    server: await readServer(session),
    names: await databasesAt(session, target, source, readPoint),
  }));
  const from = { verb, target, readPoint, server, dumpProgram: source.dumpProgram };
  const commonObjects: ObjectEntry[] = [];
  if (source.globals !== 'none') {
    commonObjects.push(await putScript(verb, readPoint, 'globals', await dumpGlobals(from, source.globals)));
  }
  const databases: ManifestDatabase[] = [];
  const tables: TableToCut[] = [];
  for (const [index, name] of names.entries()) {
    verb.heartbeat({ database: name });
    try {
      await withReader(target, name, readPoint, verb.signal, async (reader) => {
        const selection = await select(reader, await readRelations(reader), source);
        await refuseWhatCannotBeCarried(reader, source, selection);
        const { count } = await findLargeObjects(reader);
        const withLargeObjects = count > 0 && carriesLargeObjects(source);
        const data = withLargeObjects ? [...selection.data, LARGE_OBJECT_PAGES] : selection.data;
        const lookAtTables = async (signal: AbortSignal) => {
          const toCut = await cut(signal);
          return {
            toCut,
            binary: toCut.length > 0 && (await readsBinary(reader, source, server.product)),
            hiddenCalls: source.contents === 'data' ? [] : await readHiddenCalls(reader),
          };
        };
        const cut = async (signal: AbortSignal): Promise<readonly TableToCut[]> =>
          source.contents === 'schema'
            ? []
            : await tablesToCut(reader, data, {
                product: server.product,
                chunkBytes: source.chunkBytes,
                report: verb.heartbeat,
                lend: (work) =>
                  withReader(target, name, readPoint, signal, (session) =>
                    tablesLockedAtOnce(readPoint) === undefined
                      ? work(session)
                      : givingLocksBack(session, () => work(session)),
                  ),
              });
        const dump = async (signal: AbortSignal): Promise<SchemaScripts | undefined> =>
          source.contents === 'data'
            ? undefined
            : await withReader(target, name, readPoint, signal, (own) =>
                dumpSchema({ ...from, verb: { ...verb, signal } }, own, selection),
              );
        // During an export the dump mostly waits for the server, so both run side by side. Where locks are counted they run in
        // turn, so that each has the server's whole room for locks.
        const [{ toCut, binary, hiddenCalls }, scripts] =
          tablesLockedAtOnce(readPoint) === undefined
            ? await sideBySide(verb.signal, lookAtTables, dump)
            : [await lookAtTables(verb.signal), await dump(verb.signal)];
        const schemaObjects: ObjectEntry[] = [];
        if (scripts !== undefined) {
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
        if (withLargeObjects) {
          const script = await largeObjectsScript(reader);
          schemaObjects.push(await putScript(verb, readPoint, `${index}/large-objects`, script));
        }
        tables.push(
          ...toCut.map((table) => ({ ...table, binary: binary && isExactInBinary(table.shape.types) })),
        );
        databases.push({
          name,
          ...(hiddenCalls.length === 0 ? {} : { hiddenCalls }),
          ...(await databaseProperties(reader)),
          schemaObjects,
          ...lossesOf([
            ...(count > 0 && !withLargeObjects && source.contents !== 'schema'
              ? [`${formatAmount(count, 'large object')}: the plan names the tables to include`]
              : []),
            ...(selection.dumped.some(({ kind }) => kind === 'r' || kind === 'p' || kind === 'f')
              ? []
              : [NO_TABLE]),
            ...(source.contents === 'schema'
              ? []
              : selection.hollow.map(
                  (relation) =>
                    `what ${tableName(relation)} holds: it is unlogged, and the source is a standby, which has none of it`,
                )),
            ...(source.contents === 'data' ? [] : lossesOfStockDump(server, source.dumpProgram)),
          ]),
          tables: toCut.map(({ table: { schema, table }, uncut }) => ({
            schema,
            table,
            rows: 0,
            bytes: 0,
            objects: 0,
            ...defined({ uncut }),
          })),
        });
      });
    } catch (error) {
      if (!isGone(error, source, name)) throw error;
      tellGone(verb, name);
    }
  }
  requireAny(databases.length);
  return {
    server: { product: server.product, version: server.version },
    databases,
    commonObjects,
    chunks: cutTables(tables, server.product, {
      chunkBytes: source.chunkBytes,
      stable: verb.ref.repository.shareRows === true,
    }),
  };
}

/** A backup without any table completes but is worthless, so the manifest states it. */
const NO_TABLE = 'any table: this role sees none; see whether the plan names the right database';

function lossesOf(losses: readonly string[]): Pick<ManifestDatabase, 'losses'> {
  return losses.length === 0 ? {} : { losses };
}

/** Lists the databases of the read point. An exported snapshot names them; for an instant they are selected again. */
async function databasesAt(
  session: Session,
  target: Parameters<typeof selectedDatabases>[1],
  source: YsqlSource,
  readPoint: LogicalReadPoint,
): Promise<readonly string[]> {
  if (readPoint.kind === 'pg-snapshot') return Object.keys(readPoint.snapshots);
  return await selectedDatabases(session, target, source);
}
