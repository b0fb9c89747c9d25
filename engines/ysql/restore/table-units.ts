import type { DataObject, TableUnit } from '../../../model/backup.ts';
import { tableName } from '../server/identifiers.ts';
import type { PostDataBatch, PostDataUnit } from './post-data-unit.ts';

/**
 * Says when the batches of the first waves, those that belong to single tables, may be applied: a table's VACUUM and keys once
 * its rows are loaded, its indexes once its keys exist. So the keys and indexes of the largest table, which take longest, don't
 * wait for the rows of all others.
 *
 * A table without rows waits for the end of the load: it may be the parent of tables that are being loaded, and its work would
 * lock them.
 */
export function tableUnits(
  waves: readonly (readonly PostDataBatch[])[],
  loadTasks: readonly (readonly DataObject[])[],
): readonly TableUnit[] {
  const loadedAfter = new Map<string, number>();
  for (const [task, objects] of loadTasks.entries()) {
    for (const { table } of objects) loadedAfter.set(tableKey(table.database, tableName(table)), task + 1);
  }
  // Rows of such a partition may be loaded by every task that loads a sibling partition.
  const loadedAfterOf = (unit: PostDataUnit) =>
    unit.database.routes.has(unit.table ?? '') ? undefined : loadedAfter.get(keyOfUnit(unit));
  const units: TableUnit[] = [];
  /** Index of the last unit that works on a table. */
  const lastAt = new Map<string, number>();
  for (const [wave, batches] of waves.entries()) {
    if (!batches.flat().every(({ table }) => table !== undefined)) break;
    const at: [string, number][] = [];
    for (const [unit, batch] of batches.entries()) {
      const tables = batch.map(keyOfUnit);
      const afterUnits = [...new Set(tables.flatMap((table) => lastAt.get(table) ?? []))];
      const afterTasks = Math.max(
        ...batch.map((one) => loadedAfterOf(one) ?? loadTasks.length),
        ...afterUnits.map((place) => units[place]?.afterTasks ?? 0),
      );
      for (const table of tables) at.push([table, units.length]);
      units.push({ wave, unit, afterTasks, afterUnits });
    }
    for (const [table, place] of at) lastAt.set(table, place);
  }
  return units;
}

function keyOfUnit({ database, table = '' }: PostDataUnit): string {
  return tableKey(database.manifest.name, table);
}

function tableKey(database: string, table: string): string {
  return JSON.stringify([database, table]);
}
