import { backupFolder } from '../../../repository/layout.ts';
import { readDataObjects, readManifest } from '../../../repository/manifest.ts';
import { tableName } from '../server/identifiers.ts';
import { checkAgainst } from './check.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/**
 * Compares a restored and replayed database with the later backup that the replay had to give, table by table: numbers of rows, and
 * with `check: content` every row. Tables whose changes are not archived are passed over.
 *
 * @param backup id of the later backup, of the same plan
 * @param notArchived `schema.table` of each
 * @returns each difference, named, and the number of tables that were compared
 */
export async function checkProof(
  job: RestoreJob,
  database: DatabaseJob,
  backup: string,
  notArchived: readonly string[],
): Promise<{ readonly differences: readonly string[]; readonly compared: number }> {
  const { context } = job;
  const { store, signal } = context;
  const ref = { plan: context.manifest.plan, backup };
  const manifest = await readManifest(store, ref, { signal });
  const later = manifest.databases.find(({ name }) => name === database.manifest.name);
  if (later === undefined) {
    return { differences: [`${backup} has no database "${database.manifest.name}"`], compared: 0 };
  }
  const known = new Set(later.tables.map(tableName));
  const gone = database.manifest.tables
    .filter((table) => database.selection.includes(table) && !known.has(tableName(table)))
    .map((table) => `${tableName(table)} is not in ${backup}`);
  const found = await checkAgainst(
    {
      ...job,
      context: {
        ...context,
        manifest,
        folder: backupFolder(ref),
        dataObjects: () => Array.fromAsync(readDataObjects(store, manifest, { signal })),
      },
    },
    { ...database, manifest: later },
    new Set(notArchived),
  );
  return { differences: [...gone, ...found.differences], compared: found.compared };
}
