import { transient } from '../../model/errors.ts';
import { bytesOf, fieldsOf, messagesIn, numberOf } from './protobuf.ts';

/** The tables and tablets that a snapshot holds, as its exported metadata say. */
export interface SnapshotContents {
  /**
   * From 3 on, an import finds tables by their file numbers, and skips those that it doesn't find. Below, it finds tables by name, and fails if one
   * is missing (AutoFlag enable_export_snapshot_using_relfilenode, 2025.1 and later).
   */
  readonly formatVersion: number;
  /** Ids of tablets by the id of their table; for colocated tables, by the id of their parent. */
  readonly tablets: ReadonlyMap<string, readonly string[]>;
}

/** Fields of `SnapshotInfoPB` and `BackupRowEntryPB` (master_backup.proto), `SysSnapshotEntryPB`, `SysRowEntry`, `SysTabletsEntryPB` (catalog_entity_info.proto). */
const SNAPSHOT_ENTRY = 2;
const FORMAT_VERSION = 3;
const BACKUP_ENTRIES = 4;
const ENTRIES_OF_SNAPSHOT = 3;
const ROW_OF_BACKUP_ENTRY = 1;
const ROW = { type: 1, id: 2, data: 3 } as const;
const TABLE_OF_TABLET = 6;
/** `SysRowEntryType` (master_types.proto). */
const TABLET = 2n;

/** The first format whose imports skip what they don't find (2025.1). */
export const LENIENT_FORMAT = 3;

/**
 * Reads what `export_snapshot` wrote. In every format so far, tablets are in it as rows of the masters' catalogue.
 *
 * @throws HoldfastError `SNAPSHOT_METADATA` (transient: it is exported again) if the file is damaged
 */
export function snapshotContents(file: Buffer, database: string): SnapshotContents {
  try {
    const [body] = messagesIn(file);
    if (body === undefined) throw new RangeError('it holds nothing');
    const snapshot = fieldsOf(body);
    const rows = bytesOf(snapshot, BACKUP_ENTRIES).flatMap((entry) =>
      bytesOf(fieldsOf(entry), ROW_OF_BACKUP_ENTRY),
    );
    const [entry] = bytesOf(snapshot, SNAPSHOT_ENTRY);
    const older = entry === undefined ? [] : bytesOf(fieldsOf(entry), ENTRIES_OF_SNAPSHOT);
    return {
      formatVersion: Number(numberOf(snapshot, FORMAT_VERSION) ?? 1n),
      tablets: tabletsIn([...rows, ...older]),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw transient(
      'SNAPSHOT_METADATA',
      `What export_snapshot wrote of "${database}" can't be read: ${error.message}`,
      'It is exported again. If that does not help, see the free space of the worker’s temporary folder, and that yb-admin is of the universe’s own version.',
      error,
    );
  }
}

function tabletsIn(rows: readonly Buffer[]): ReadonlyMap<string, readonly string[]> {
  const tablets = new Map<string, string[]>();
  for (const row of rows) {
    const fields = fieldsOf(row);
    if (numberOf(fields, ROW.type) !== TABLET) continue;
    const [id] = bytesOf(fields, ROW.id);
    const [data] = bytesOf(fields, ROW.data);
    const [table] = data === undefined ? [] : bytesOf(fieldsOf(data), TABLE_OF_TABLET);
    if (id === undefined || table === undefined) throw new RangeError('a tablet in it has no id or no table');
    const name = table.toString('latin1');
    const known = tablets.get(name) ?? [];
    tablets.set(name, known);
    known.push(id.toString('latin1'));
  }
  return tablets;
}
