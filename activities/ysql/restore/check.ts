import type { DataObject } from '../../../model/backup.ts';
import type { ManifestTable } from '../../../model/manifest.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import { textOf } from '../../../repository/zstd-frames.ts';
import { copyOut } from '../copy-out.ts';
import { quoteTable, tableName } from '../identifiers.ts';
import type { Session } from '../session.ts';
import { loadedObjects, withRestoreSession } from './bookkeeping.ts';
import { MultisetHash } from './content-hash.ts';
import { type DatabaseJob, type RestoreJob, selectedObjects } from './job.ts';

/** Compares what was restored of one database with the manifest. Returns each difference, named; empty when all is equal. */
export async function checkDatabase(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  if (!job.withData) return [];
  const objects = (await selectedObjects(job)).filter(
    ({ table }) => table.database === database.manifest.name,
  );
  const { missing, conditions } = await withRestoreSession(job, database, async (session) => {
    const loaded = await loadedObjects(session);
    return {
      missing: objects.filter(({ key }) => !loaded.has(key)).map(({ key }) => `${key} was not loaded`),
      conditions: await configurationConditions(session),
    };
  });
  const tables = database.manifest.tables.filter((table) => database.selection.includes(table));
  const differences: string[] = [...missing];
  // Largest first, so that no lane counts it while the others have nothing left.
  const bySize = tables.toSorted((one, other) => other.bytes - one.bytes);
  await forEachBounded(bySize, job.context.request.parallelism, async (table) => {
    const condition = conditions.get(tableName(table)) ?? '';
    differences.push(...(await checkTable(job, database, table, condition, objects)));
  });
  return differences;
}

/** Configuration tables of extensions hold rows of the extension's own too, which its condition leaves out. */
async function configurationConditions(session: Session): Promise<ReadonlyMap<string, string>> {
  const rows = await session.query<{ schema: string; table: string; condition: string }>(
    'read the configuration tables of extensions',
    `SELECT n.nspname AS schema, c.relname AS table, coalesce(e.extcondition[array_position(e.extconfig, c.oid)], '') AS condition
     FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_class c ON c.oid = ANY (e.extconfig)
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`,
  );
  return new Map(rows.map((row) => [tableName(row), row.condition]));
}

async function checkTable(
  job: RestoreJob,
  database: DatabaseJob,
  table: ManifestTable,
  condition: string,
  objects: readonly DataObject[],
): Promise<readonly string[]> {
  const name = tableName(table);
  const own = objects.filter((object) => tableName(object.table) === name);
  const from = `FROM ONLY ${quoteTable(table)} ${condition}`;
  return await withRestoreSession(job, database, async (session) => {
    const [count] = await session.query<{ rows: string }>(
      `count ${name}`,
      `SELECT count(*)::text AS rows ${from}`,
    );
    if (count === undefined || Number(count.rows) !== table.rows) {
      return [`${name} has ${count?.rows ?? 'an unknown number of'} rows, the manifest says ${table.rows}`];
    }
    if (job.context.request.check !== 'content' || own.length === 0) return [];
    const columns = own[0]?.columns.join(', ') ?? '';
    const statement = `COPY (SELECT ${columns} ${from}) TO STDOUT (ENCODING '${database.manifest.encoding}')`;
    const restored = new MultisetHash();
    for await (const { data } of copyOut(session, statement, `read back ${name}`, job.context.signal)) {
      restored.add(data);
    }
    return restored.value === (await storedHash(job, own))
      ? []
      : [`${name} differs from the backup in its content`];
  });
}

async function storedHash(job: RestoreJob, objects: readonly DataObject[]): Promise<string> {
  const { store, folder, signal } = job.context;
  const stored = new MultisetHash();
  for (const { key, sizeBytes, sha256 } of objects) {
    const body = await store.get(folder + key, { expect: { sizeBytes, sha256 }, signal });
    for await (const block of textOf(body)) stored.add(block);
  }
  return stored.value;
}
