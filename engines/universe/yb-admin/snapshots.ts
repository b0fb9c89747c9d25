import { defined } from '../../../model/defined.ts';
import { HoldfastError } from '../../../model/errors.ts';
import { unreadable, YB_ADMIN } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { canonicalUuid, field, isUuid, jsonIn, listField, textField, uuidAfter } from './text.ts';
import { microsOf } from './times.ts';

export type SnapshotState =
  | 'CREATING'
  | 'COMPLETE'
  | 'RESTORING'
  | 'DELETING'
  | 'DELETED'
  | 'FAILED'
  | 'CANCELLED'
  | 'UNKNOWN';

const STATES: ReadonlySet<string> = new Set<SnapshotState>([
  'CREATING',
  'COMPLETE',
  'RESTORING',
  'DELETING',
  'DELETED',
  'FAILED',
  'CANCELLED',
]);

/** One row of `list_snapshots`. */
export interface Snapshot {
  /** 36 characters, lower case. */
  readonly id: string;
  readonly state: SnapshotState;
  /** Microseconds since 1970 of its hybrid time; undefined where the build doesn't print it. */
  readonly timeMicros?: string;
  /** What it holds; undefined unless asked for. */
  readonly objects?: readonly SnapshotObject[];
}

/** One object of a snapshot, from `list_snapshots SHOW_DETAILS`. Tablets are never shown. */
export interface SnapshotObject {
  readonly type: 'NAMESPACE' | 'UDTYPE' | 'TABLE' | 'OTHER';
  readonly id: string;
  readonly name: string;
  /** Of a table or a type: the namespace it is in. */
  readonly namespaceId?: string;
  /** Of an index: the table it is of. */
  readonly indexedTableId?: string;
  readonly colocated: boolean;
  /** Of a table: rises with each change of its columns (`SysTablesEntryPB.version`). */
  readonly version?: number;
  /** Of a namespace. */
  readonly kind?: 'ysql' | 'ycql';
}

/** Options of a new snapshot. */
export interface SnapshotCreation {
  /**
   * Hours until the universe deletes the snapshot by itself; `keep` for never. Required, since the universe's default would be
   * `default_snapshot_retention_hours`, 24 (YugabyteDB issue 27289).
   */
  readonly retentionHours: number | 'keep';
}

/** Starts a snapshot of a whole YSQL database; returns its id. It is `CREATING` until `list_snapshots` says otherwise. */
export async function createDatabaseSnapshot(
  admin: YbAdmin,
  database: string,
  options: SnapshotCreation,
): Promise<string> {
  return await create(admin, 'create_database_snapshot', [`ysql.${database}`], options);
}

/** Starts a snapshot of a whole YCQL keyspace; returns its id. */
export async function createKeyspaceSnapshot(
  admin: YbAdmin,
  keyspace: string,
  options: SnapshotCreation,
): Promise<string> {
  return await create(admin, 'create_keyspace_snapshot', [`ycql.${keyspace}`], options);
}

/** Passes the retention if the build takes one. Builds before about 2.19 don't, and keep a snapshot until it is deleted. */
async function create(
  admin: YbAdmin,
  operation: string,
  args: readonly string[],
  options: SnapshotCreation,
): Promise<string> {
  const hours =
    options.retentionHours === 'keep' ? '0' : String(Math.max(1, Math.ceil(options.retentionHours)));
  try {
    return parseCreatedSnapshot(operation, await admin.run(operation, [...args, hours]));
  } catch (error) {
    if (!isAboutArguments(error)) throw error;
    return parseCreatedSnapshot(operation, await admin.run(operation, args));
  }
}

/** An error about the number or the kind of the arguments, not about what they name. */
function isAboutArguments(error: unknown): boolean {
  return (
    error instanceof HoldfastError &&
    error.code === YB_ADMIN.usage &&
    /Invalid arguments for operation|Too many arguments|Wrong flag/i.test(error.message)
  );
}

/** The id of the snapshot that was started. Throws `YB_ADMIN_UNREADABLE`. */
export function parseCreatedSnapshot(operation: string, output: string): string {
  return uuidAfter(operation, output, 'Started snapshot creation:');
}

/** All snapshots, including those that schedules made. `details`: with the objects of each. */
export async function listSnapshots(
  admin: YbAdmin,
  options: { readonly details: boolean },
): Promise<readonly Snapshot[]> {
  const operation = 'list_snapshots';
  if (options.details) {
    return parseSnapshotsText(await admin.run(operation, ['SHOW_DETAILS', 'NOT_SHOW_RESTORED']), true);
  }
  try {
    return parseSnapshotsJson(await admin.run(operation, ['JSON']));
  } catch (error) {
    if (!isAboutArguments(error)) throw error;
    return parseSnapshotsText(await admin.run(operation, []), false);
  }
}

/** The snapshot with this id, or undefined where there is none (any more). */
export async function findSnapshot(admin: YbAdmin, id: string): Promise<Snapshot | undefined> {
  const wanted = canonicalUuid(id);
  return (await listSnapshots(admin, { details: false })).find((snapshot) => snapshot.id === wanted);
}

/** Parses `list_snapshots JSON`. Throws `YB_ADMIN_UNREADABLE`. */
export function parseSnapshotsJson(output: string): readonly Snapshot[] {
  const value = jsonIn('list_snapshots', output);
  if (!Array.isArray(field(value, 'snapshots')))
    throw unreadable('list_snapshots', output, 'list "snapshots"');
  return listField(value, 'snapshots').map((entry) => {
    const id = textField(entry, 'id');
    if (id === undefined || !isUuid(id)) throw unreadable('list_snapshots', output, 'id in every snapshot');
    return snapshot(id, textField(entry, 'state'), textField(entry, 'snapshot_time', 'snapshot_time_utc'));
  });
}

/** `details`: whether the program was asked for them. Then a snapshot without any holds nothing. */
export function parseSnapshotsText(output: string, details: boolean): readonly Snapshot[] {
  const lines = output.split(/\r?\n/);
  const end = lines.findIndex((line) =>
    /^(?:Restoration UUID|No snapshot restorations|Not show fully)/.test(line.trim()),
  );
  const relevant = (end < 0 ? lines : lines.slice(0, end)).filter((line) => line.trim() !== '');
  const found: { readonly row: Snapshot; readonly objects: SnapshotObject[] }[] = [];
  let understood = false;
  for (const line of relevant) {
    const [id = '', state, ...time] = line.trim().split(/\s+/);
    if (isUuid(id)) {
      found.push({ row: snapshot(id, state, time.join(' ')), objects: [] });
    } else if (line.trimStart().startsWith('{')) {
      const object = snapshotObject(line.trim(), output);
      const objects = found.at(-1)?.objects;
      // A namespace is repeated before each of its tables.
      if (objects?.some((known) => known.id === object.id) === false) objects.push(object);
    } else {
      understood ||= /^\s*(?:Snapshot UUID|No snapshots)/.test(line);
    }
  }
  if (found.length === 0 && !understood) throw unreadable('list_snapshots', output, 'list of snapshots');
  return found.map(({ row, objects }) => (details ? { ...row, objects } : row));
}

function snapshot(id: string, state: string | undefined, time: string | undefined): Snapshot {
  const timeMicros = microsOf(time);
  return {
    id: canonicalUuid(id),
    state: snapshotState(state),
    ...defined({ timeMicros }),
  };
}

function snapshotState(text: string | undefined): SnapshotState {
  return text !== undefined && STATES.has(text) ? (text as SnapshotState) : 'UNKNOWN';
}

const OBJECT_TYPES: ReadonlySet<string> = new Set(['NAMESPACE', 'UDTYPE', 'TABLE']);

function snapshotObject(line: string, output: string): SnapshotObject {
  const value = jsonIn('list_snapshots', line);
  const type = textField(value, 'type') ?? '';
  const id = textField(value, 'id');
  const data = field(value, 'data');
  const name = textField(data, 'name');
  if (id === undefined || name === undefined)
    throw unreadable('list_snapshots', output, 'id and name in every object');
  const namespaceId = textField(data, 'namespace_id');
  const indexedTableId = textField(data, 'indexed_table_id');
  const database = textField(data, 'database_type');
  const version = field(data, 'version');
  return {
    type: OBJECT_TYPES.has(type) ? (type as SnapshotObject['type']) : 'OTHER',
    id,
    name,
    ...defined({ namespaceId, indexedTableId }),
    colocated: field(data, 'colocated') === true,
    ...(type === 'TABLE' && typeof version === 'number' ? { version } : {}),
    ...(database === undefined
      ? {}
      : { kind: database === 'YQL_DATABASE_PGSQL' ? ('ysql' as const) : ('ycql' as const) }),
  };
}

/**
 * Writes the snapshot's metadata into `file` on this machine. Throws `YB_ADMIN_WRONG_STATE` if the snapshot isn't `COMPLETE` (transient if it is
 * `CREATING`), since the program itself exports it in any state.
 */
export async function exportSnapshot(admin: YbAdmin, id: string, file: string): Promise<void> {
  parseExport(await admin.run('export_snapshot', [canonicalUuid(id), file]));
}

/** Throws `YB_ADMIN_WRONG_STATE` if the exported snapshot was not `COMPLETE`, and `YB_ADMIN_UNREADABLE`. */
export function parseExport(output: string): void {
  const [, state] = /^Exporting snapshot \S+ \((\w+)\) to file /m.exec(output) ?? [];
  if (state !== undefined && state !== 'COMPLETE') {
    throw new HoldfastError(YB_ADMIN.wrongState, `The exported snapshot is ${state}, not COMPLETE`, {
      remedy: 'Wait until list_snapshots shows it COMPLETE.',
      transient: state === 'CREATING',
    });
  }
  if (!/^Snapshot meta ?data was saved into file: /m.test(output)) {
    throw unreadable('export_snapshot', output, 'line "Snapshot metadata was saved into file"');
  }
}

/** Asks for the deletion, which continues afterwards. `findSnapshot` shows when the snapshot is `DELETED`, or gone. */
export async function deleteSnapshot(admin: YbAdmin, id: string): Promise<void> {
  await admin.run('delete_snapshot', [canonicalUuid(id)]);
}
