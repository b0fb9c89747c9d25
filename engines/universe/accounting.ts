import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { ManifestSnapshot, SnapshotTable } from '../../model/manifest.ts';
import type { Session } from '../ysql/server/session.ts';
import { LENIENT_FORMAT, type SnapshotContents } from './snapshot-contents.ts';
import type { SnapshotObject } from './yb-admin/snapshots.ts';
import type { Tablet } from './yb-admin/topology.ts';

/** A table or index as YSQL's catalogue has it. */
interface CatalogRelation {
  readonly schema: string;
  readonly name: string;
  /** `relfilenode`; 0 if the catalogue has none. */
  readonly fileNumber: number;
  /** Of an index: `indisvalid`. True for a table. */
  readonly valid: boolean;
}

/** Keyed by the number in a table's id: the file number of a table that was rewritten (`SysTablesEntryPB.pg_table_id`), else the oid. */
export type CatalogRelations = ReadonlyMap<number, CatalogRelation>;

/** Reads the tables, materialised views and indexes of the session's database, by both of their numbers. */
export async function readCatalogRelations(session: Session): Promise<CatalogRelations> {
  const rows = await session.query<{
    oid: string;
    file: string;
    schema: string;
    name: string;
    valid: boolean;
  }>(
    `list the tables and indexes of database "${session.database}"`,
    `SELECT c.oid::text AS oid, c.relfilenode::text AS file, n.nspname AS schema, c.relname AS name, coalesce(i.indisvalid, true) AS valid
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     WHERE c.relkind IN ('r', 'm', 'i')`,
  );
  const described = ({ schema, name, valid, file }: (typeof rows)[number]) => ({
    schema,
    name,
    valid,
    fileNumber: Number(file),
  });
  return new Map([
    ...rows.map((row) => [Number(row.oid), described(row)] as const),
    // A file number wins over an equal oid of another relation.
    ...rows.flatMap((row) => (row.file === '0' ? [] : [[Number(row.file), described(row)] as const])),
  ]);
}

/** The last 8 hex digits of a YSQL table's id. */
function numberOf(tableId: string): number {
  return Number.parseInt(tableId.slice(24, 32), 16);
}

/** The parent of colocated tables or of a tablegroup: it has the tablet, and the catalogue doesn't know it. */
const isParent = (id: string): boolean => id.includes('.');

/** The tables and indexes of a snapshot that the catalogue lacks, or has with other files. Pure. */
export function strangeTables(
  objects: readonly SnapshotObject[],
  relations: CatalogRelations,
): readonly SnapshotObject[] {
  return objects.filter(({ type, id }) => type === 'TABLE' && !isParent(id) && !hasFilesOf(relations, id));
}

/**
 * Whether the catalogue has the table with the files that its id names. TRUNCATE or a rewrite gives a table other files, and the masters give it
 * another id. Pure.
 */
export function hasFilesOf(relations: CatalogRelations, tableId: string): boolean {
  const number = numberOf(tableId);
  const relation = relations.get(number);
  return relation !== undefined && (relation.fileNumber === 0 || relation.fileNumber === number);
}

/** Whether an import skips tables that it doesn't find, instead of failing. Pure. */
export function importLeavesOut(contents: SnapshotContents | undefined): boolean {
  return (contents?.formatVersion ?? 0) >= LENIENT_FORMAT;
}

/**
 * Names the tables of a snapshot as the catalogue does. Finds what a restore could not bring back because no dump has it: tables without a row in
 * the catalogue (YugabyteDB issues 12816, 13275) and invalid indexes (15184). If an import skips them, they are reported as losses; if an import
 * would fail, the backup fails. `checkNoneDropped` comes first and refuses tables that were dropped while the snapshot was taken.
 *
 * @throws HoldfastError `SNAPSHOT_TABLE_ORPHAN`, `SNAPSHOT_INDEX_INVALID` (permanent)
 */
export function accountForTables(
  database: string,
  objects: readonly SnapshotObject[],
  relations: CatalogRelations,
  contents: SnapshotContents | undefined,
): { readonly tables: readonly SnapshotTable[]; readonly losses: readonly string[] } {
  const isLenient = importLeavesOut(contents);
  const losses: string[] = [];
  const tables = objects
    .filter(({ type }) => type === 'TABLE')
    .map(({ id, name, indexedTableId }): SnapshotTable => {
      const index = indexedTableId !== undefined;
      if (isParent(id)) return { id, schema: '', name, index };
      const relation = relations.get(numberOf(id));
      if (relation === undefined) {
        if (!isLenient) throw orphan(database, id, name);
        losses.push(
          `the table ${name} (${id}): YSQL does not know it, so that no restore could bring it back`,
        );
        return { id, schema: '', name, index, skipped: true };
      }
      const named = { id, schema: relation.schema, name: relation.name, index };
      if (relation.valid) return named;
      if (!isLenient) throw invalid(database, relation);
      losses.push(
        `the index ${relation.schema}.${relation.name}: it is not valid, so that no dump has it; create it again`,
      );
      return { ...named, skipped: true };
    });
  return { tables, losses };
}

function orphan(database: string, id: string, name: string): Error {
  return permanent(
    'SNAPSHOT_TABLE_ORPHAN',
    `The snapshot of "${database}" holds the table ${name} (${id}), which YSQL's catalogue does not know. This release can't import such a snapshot: no backup could be restored`,
    `Make sure that no CREATE TABLE is under way and that nothing needs the table; then delete it: yb-admin delete_table_by_id ${id}.`,
  );
}

function invalid(database: string, { schema, name }: CatalogRelation): Error {
  return permanent(
    'SNAPSHOT_INDEX_INVALID',
    `The snapshot of "${database}" holds the index ${schema}.${name}, which is not valid, so that no dump has it. This release can't import such a snapshot: no backup could be restored`,
    'Let its creation end, or drop it and create it again; then run the backup again.',
  );
}

/**
 * Makes sure that each table with tablets has the same ones in the map as in the snapshot. They differ if a table was dropped or a tablet was split
 * between the snapshot and the map.
 *
 * @throws HoldfastError `READ_POINT_LOST` (permanent), naming the first table: another snapshot is taken
 */
export function requireSnapshotsTablets(
  { database, tables }: ManifestSnapshot,
  colocated: ReadonlySet<string>,
  contents: SnapshotContents | undefined,
  map: readonly Tablet[],
): void {
  const inMap = new Map<string, Set<string>>();
  for (const { id, tableId } of map) {
    const ids = inMap.get(tableId) ?? new Set<string>();
    inMap.set(tableId, ids.add(id));
  }
  for (const { id, schema, name } of tables) {
    const present = inMap.get(id) ?? new Set<string>();
    const held = contents?.tablets.get(id);
    // A colocated table has its rows in its parent's tablet.
    if (held === undefined && colocated.has(id) && !isParent(id)) continue;
    const missing = held?.find((tablet) => !present.has(tablet));
    const strange = held === undefined ? undefined : [...present].find((tablet) => !held.includes(tablet));
    if (present.size > 0 && missing === undefined && strange === undefined) continue;
    const table = schema === '' ? name : `${schema}.${name}`;
    const difference =
      present.size === 0
        ? 'the universe has no tablet of it'
        : missing === undefined
          ? `the universe has its tablet ${strange} besides`
          : `the universe has its tablet ${missing} no more`;
    throw permanent(
      READ_POINT_LOST,
      `The tablets of the table ${table} of "${database}" (${id}) are not those of its snapshot: ${difference}. It was dropped, or split, since`,
      'Another snapshot is taken. If it happens again, see that no table is dropped or created meanwhile, and that the masters list this one’s tablets (yb-admin list_tablets).',
    );
  }
}
