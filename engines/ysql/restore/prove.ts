import { permanent } from '../../../model/errors.ts';
import type { ManifestDatabase } from '../../../model/manifest.ts';
import { readDataObjects, readManifest } from '../../../repository/backups/manifest.ts';
import { backupFolder } from '../../../repository/layout.ts';
import { holdsLargeObjects } from '../large-objects.ts';
import { tableName } from '../server/identifiers.ts';
import { checkAgainst } from './check.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/**
 * Compares a restored and replayed database with the later backup that the replay should have reproduced, table by table: numbers
 * of rows, and with `check: content` every row. Skips tables whose changes are not archived.
 *
 * @param backup id of the later backup, of the same plan
 * @param notArchived `schema.table` of each
 * @throws HoldfastError `PROOF_OTHER_TABLES` (permanent) when the two backups have different tables
 * @returns a description of each difference, and the number of compared tables
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
    throw otherTables(backup, [`all of database "${database.manifest.name}"`]);
  }
  const without = new Set(notArchived);
  const namesOf = ({ tables }: ManifestDatabase) =>
    tables
      .filter((table) => database.selection.includes(table) && !holdsLargeObjects(table))
      .map(tableName)
      .filter((name) => !without.has(name));
  const [here, there] = [new Set(namesOf(database.manifest)), new Set(namesOf(later))];
  const others = [
    ...[...here].filter((name) => !there.has(name)),
    ...[...there].filter((name) => !here.has(name)),
  ];
  // The plan's tables changed between the two backups while the archive's timeline continued: that says nothing about the
  // changes.
  if (others.length > 0) throw otherTables(backup, others);
  return await checkAgainst(
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
    without,
  );
}

function otherTables(backup: string, tables: readonly string[]): Error {
  return permanent(
    'PROOF_OTHER_TABLES',
    `Backup ${backup} and the one before it do not have the same tables (${tables.slice(0, 5).join(', ')}), so the changes between them can't be proved`,
    'Proofs go on once retention has dropped the earlier of the two; until then each drill tries again.',
  );
}
