import { container, type Field, message } from './containers.ts';
import type { NamespaceState, SnapshotState } from './state.ts';
import { Failure } from './status.ts';

/** What `export_snapshot` writes and `import_snapshot` reads back. */
export interface SnapshotMetadata {
  readonly snapshot: Pick<SnapshotState, 'id' | 'state' | 'micros' | 'objects'>;
  readonly namespace: Pick<NamespaceState, 'id' | 'name' | 'kind' | 'colocated'>;
}

/** `SysRowEntryType` (master_types.proto). */
const TYPES = { TABLE: 1, TABLET: 2, NAMESPACE: 4 } as const;
const COMPLETE = 2;
/** 2: has `backup_entries` instead of entries within the snapshot's own; 3: finds tables by their file numbers (facts, `export_snapshot`). */
const FORMATS = { byName: 2, byFile: 3 } as const;
/** The simulator's own field, not one of YugabyteDB's: JSON that it needs to import the snapshot again. */
const OWN_FIELD = 15_000;

/**
 * Encodes a container with a `SnapshotInfoPB` (master_backup.proto). The fields for the snapshot's namespace, tables and tablets are as YugabyteDB writes
 * them (catalog_entity_info.proto: `SysSnapshotEntryPB`, `SysTablesEntryPB`, `SysTabletsEntryPB`).
 */
export function encodeMetadata(metadata: SnapshotMetadata, byFile: boolean): Buffer {
  const { snapshot, namespace } = metadata;
  const tablets = snapshot.objects.flatMap((table) => table.tablets.map((tablet) => ({ table, tablet })));
  const entry = (type: keyof typeof TYPES, id: string, data: Buffer, schema?: string): Field => [
    4,
    message(
      [1, message([1, TYPES[type]], [2, id], [3, data])],
      ...(schema === undefined ? [] : [[2, schema] as const]),
    ),
  ];
  const body = message(
    [1, Buffer.from(snapshot.id.replaceAll('-', ''), 'hex')],
    [
      2,
      message(
        [1, COMPLETE],
        ...tablets.map(({ tablet }): Field => [2, message([1, tablet.id], [2, COMPLETE])]),
        [4, BigInt(snapshot.micros) << 12n],
      ),
    ],
    [3, byFile ? FORMATS.byFile : FORMATS.byName],
    entry('NAMESPACE', namespace.id, message([1, namespace.name])),
    ...snapshot.objects.flatMap((table) => [
      entry('TABLE', table.id, message([1, table.name], [2, 0], [11, namespace.id]), table.schema),
      ...table.tablets.map(({ id }) => entry('TABLET', id, message([4, 2], [6, table.id]))),
    ]),
    [OWN_FIELD, JSON.stringify(metadata)],
  );
  return container('yb.master.SnapshotInfoPB', body);
}

export function decodeMetadata(bytes: Buffer): SnapshotMetadata {
  if (bytes.length < 20 || bytes.toString('latin1', 0, 8) !== 'yugacntr') {
    throw new Failure('Runtime error', 'Corruption: Invalid magic number in container file');
  }
  const key = Buffer.from(message([OWN_FIELD, '']).subarray(0, -1));
  const body = bytes.subarray(0, -4);
  const sized = body.subarray(body.lastIndexOf(key) + key.length);
  // The length's last byte is the first one below 128.
  const text = sized.subarray(sized.findIndex((byte) => byte < 128) + 1);
  try {
    return JSON.parse(text.toString('utf8')) as SnapshotMetadata;
  } catch {
    throw new Failure('Runtime error', 'Corruption: Incorrect checksum in container file');
  }
}
