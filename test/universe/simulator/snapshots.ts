import type { Client } from 'pg';
import { columnsOfTable, databaseOf, flush, tablesOf, tabletsOf } from './catalog.ts';
import { checkpoint, completeCheckpoint, removeSnapshot, type TabletHistory } from './files.ts';
import { encodeChange, type RowChange, rowHistory } from './row-history.ts';
import { relationKey } from './rows.ts';
import type { NamespaceState, SnapshotState, SnapshotTable, TableState, TabletState } from './state.ts';
import { Failure } from './status.ts';
import { newUuid, type World } from './world.ts';

const MS_PER_HOUR = 3_600_000;
/** `default_snapshot_retention_hours` (issue 27289). */
const DEFAULT_RETENTION_HOURS = 24;

/** Returns when a snapshot expires, milliseconds since 1970; undefined: never. */
export function expiry(world: World, hours: number | undefined): number | undefined {
  if (!world.profile.snapshotRetention) return undefined;
  const kept = hours ?? DEFAULT_RETENTION_HOURS;
  return kept <= 0 ? undefined : world.now() + kept * MS_PER_HOUR;
}

/** Starts a snapshot of tables of one namespace: hard links on every live replica. */
export async function createSnapshot(
  world: World,
  namespace: NamespaceState,
  tables: readonly TableState[],
  options: {
    readonly expiresAt?: number | undefined;
    readonly scheduleId?: string;
    readonly previousMicros?: string;
    /** The previous snapshot of the same schedule: the files then carry the history of rows since it. */
    readonly previous?: SnapshotState;
    readonly withHistory?: boolean;
  },
): Promise<SnapshotState> {
  const { state } = world;
  const visible = await flush(world, namespace, tables);
  const objects = await world.connected(databaseOf(namespace), (client) =>
    describe(world, client, namespace, tables),
  );
  const snapshot: SnapshotState = {
    id: newUuid(),
    state: 'CREATING',
    // YugabyteDB takes a time max_clock_skew after the present (MaxGlobalNow, issue 27575). The simulator has one clock, so the
    // present is enough.
    micros: world.hybridTime(),
    namespaceId: namespace.id,
    namespaceName: namespace.name,
    imported: false,
    turnsAt: world.now() + state.config.snapshotMs,
    end: state.endOf.snapshots,
    objects,
    ...(options.withHistory === true ? { visible } : {}),
    ...(options.expiresAt === undefined ? {} : { expiresAt: options.expiresAt }),
    ...(options.scheduleId === undefined ? {} : { scheduleId: options.scheduleId }),
    ...(options.previousMicros === undefined ? {} : { previousMicros: options.previousMicros }),
  };
  const history =
    options.previous === undefined
      ? undefined
      : await historySince(world, namespace, options.previous, visible);
  for (const { tablet, replica } of replicasOf(world, snapshot)) {
    if (world.isAlive(replica.server))
      checkpoint(replica, tablet, snapshot.id, historyOf(world, tablet, history));
  }
  state.snapshots.push(snapshot);
  return snapshot;
}

/** Returns the history since `previous`, or why there is none: changes that can't be repeated. Going back into it then fails with that reason. */
async function historySince(
  world: World,
  namespace: NamespaceState,
  previous: SnapshotState,
  visible: string,
): Promise<readonly RowChange[] | string> {
  try {
    return await rowHistory(world, namespace, previous, visible);
  } catch (error) {
    return `the simulator can't tell the history of these rows: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function historyOf(
  world: World,
  { tableId, start, end }: TabletState,
  history: readonly RowChange[] | string | undefined,
): TabletHistory | undefined {
  if (history === undefined) return undefined;
  if (typeof history === 'string') return { problem: history };
  const table = world.state.tables.find(({ id }) => id === tableId);
  if (table === undefined) return { lines: [] };
  const key = relationKey(table.schema, table.kind === 'index' ? `~${table.name}` : table.name);
  const own = history.filter(
    ({ hash, line }) =>
      hash >= start && hash < end && (table.kind === 'parent' || line.startsWith(`${key}\t`)),
  );
  return { lines: own.map(encodeChange) };
}

async function describe(
  world: World,
  client: Client,
  namespace: NamespaceState,
  tables: readonly TableState[],
): Promise<readonly SnapshotTable[]> {
  const objects: SnapshotTable[] = [];
  for (const table of tables) {
    const { id, schema, name, kind, indexedTableId, parentId, oid } = table;
    const columns = await columnsOfTable(client, table);
    const known = JSON.stringify(columns);
    if (table.columns !== undefined && table.columns !== known) table.version = (table.version ?? 0) + 1;
    table.columns = known;
    objects.push({
      id,
      schema,
      name,
      kind,
      columns,
      ...(table.version === undefined ? {} : { version: table.version }),
      ...(indexedTableId === undefined ? {} : { indexedTableId }),
      ...(parentId === undefined ? {} : { parentId }),
      ...(namespace.kind === 'ycql' ? { definition: await definitionOf(client, kind, oid) } : {}),
      tablets:
        parentId === undefined
          ? tabletsOf(world, id).map(({ id: tablet, start, end }) => ({ id: tablet, start, end }))
          : [],
    });
  }
  return objects;
}

/** Returns the statements that recreate a YCQL table or index; `@keyspace@` stands for the keyspace. */
async function definitionOf(
  client: Client,
  kind: TableState['kind'],
  oid: number,
): Promise<readonly string[]> {
  const { rows } = await client.query<{
    schema: string;
    name: string;
    columns: string | null;
    key: string | null;
    index: string | null;
  }>(
    `SELECT n.nspname AS schema, c.relname AS name,
       (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
          FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns,
       (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p') AS key,
       CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END AS index
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`,
    [oid],
  );
  const [row] = rows;
  if (row === undefined) return [];
  if (kind === 'index') return [(row.index ?? '').replace(` ON ${row.schema}.`, ' ON @keyspace@.')];
  const parts = [row.columns, row.key].filter((part) => part !== null);
  return [`CREATE TABLE @keyspace@."${row.name}" (${parts.join(', ')})`];
}

export function findSnapshot(world: World, id: string): SnapshotState {
  const found = world.state.snapshots.find((snapshot) => snapshot.id === id);
  if (found === undefined)
    throw new Failure('Not found', `Could not find snapshot: ${id}`, 'SNAPSHOT_NOT_FOUND');
  return found;
}

/** Returns every (tablet, replica) that may have a folder of the snapshot, without tablets that are gone. */
export function replicasOf(world: World, snapshot: SnapshotState) {
  const ids = new Set(snapshot.objects.flatMap(({ tablets }) => tablets.map(({ id }) => id)));
  return world.state.tablets
    .filter(({ id }) => ids.has(id))
    .flatMap((tablet) => tablet.replicas.map((replica) => ({ tablet, replica })));
}

/** Starts to delete a snapshot; throws a `Failure` when it is deleted already or is being restored. */
export function beginDeletion(world: World, snapshot: SnapshotState): void {
  if (snapshot.state === 'DELETED')
    throw new Failure('Not found', `The snapshot was deleted: ${snapshot.id}`, 'SNAPSHOT_NOT_FOUND');
  if (snapshot.state === 'DELETING') {
    throw new Failure('Not found', `The snapshot is being deleted: ${snapshot.id}`, 'SNAPSHOT_NOT_FOUND');
  }
  const restoration = world.state.restorations.find(
    ({ snapshotId, state }) => snapshotId === snapshot.id && state === 'RESTORING',
  );
  if (restoration !== undefined) {
    // Issue 32384.
    throw new Failure(
      'Illegal state',
      `Cannot delete snapshot ${snapshot.id}, restoration ${restoration.id} is RESTORING`,
    );
  }
  snapshot.state = 'DELETING';
  snapshot.turnsAt = world.now() + world.state.config.deleteMs;
}

/** Applies the effects of time to snapshots. Returns whether anything changed. */
export function ageSnapshots(world: World): boolean {
  let changed = false;
  for (const snapshot of world.state.snapshots) {
    const due = snapshot.turnsAt <= world.now();
    if (snapshot.state === 'CREATING' && due && snapshot.end !== 'never') {
      changed = true;
      finishCreation(world, snapshot);
    } else if (snapshot.state === 'DELETING' && due && world.state.endOf.deletions === 'well') {
      changed = true;
      for (const { tablet, replica } of replicasOf(world, snapshot)) {
        if (world.isAlive(replica.server)) removeSnapshot(replica, tablet, snapshot.id);
      }
      snapshot.state = 'DELETED';
    } else if (
      snapshot.expiresAt !== undefined &&
      snapshot.expiresAt <= world.now() &&
      snapshot.state === 'COMPLETE'
    ) {
      changed = true;
      if (!isBeingRestored(world, snapshot)) beginDeletion(world, snapshot);
    }
  }
  return changed;
}

function isBeingRestored(world: World, { id }: SnapshotState): boolean {
  return world.state.restorations.some(({ snapshotId, state }) => snapshotId === id && state === 'RESTORING');
}

function finishCreation(world: World, snapshot: SnapshotState): void {
  const lost = new Set<string>();
  const present = new Map(world.state.tablets.map((tablet) => [tablet.id, tablet]));
  for (const { tablets } of snapshot.objects) {
    for (const { id } of tablets) if (!present.has(id)) lost.add(id);
  }
  if (snapshot.end === 'failed' || lost.size > 0) {
    snapshot.state = 'FAILED';
    for (const { tablet, replica } of replicasOf(world, snapshot))
      removeSnapshot(replica, tablet, snapshot.id);
    return;
  }
  for (const { tablet, replica } of replicasOf(world, snapshot)) {
    if (world.isAlive(replica.server)) completeCheckpoint(replica, tablet, snapshot.id);
  }
  snapshot.state = 'COMPLETE';
}

export function allTables(world: World, namespace: NamespaceState): readonly TableState[] {
  const tables = tablesOf(world, namespace);
  if (tables.length === 0)
    throw new Failure('Invalid argument', `No tables found in namespace: ${namespace.name}`);
  return tables;
}
