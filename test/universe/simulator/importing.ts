import { columnsOfTable, databaseOf, synchronize, tablesOf, tabletsOf } from './catalog.ts';
import type { SnapshotMetadata } from './metadata.ts';
import { dropTablet, newTablet } from './placement.ts';
import { YCQL_STORE } from './rows.ts';
import { expiry } from './snapshots.ts';
import type { NamespaceState, SnapshotState, SnapshotTable, TableState } from './state.ts';
import { Failure } from './status.ts';
import { newUuid, type World } from './world.ts';

export interface Imported {
  readonly snapshot: SnapshotState;
  readonly namespace: NamespaceState;
  readonly tables: readonly {
    readonly old: SnapshotTable;
    readonly table: TableState;
    readonly tablets: readonly (readonly [string, string])[];
  }[];
}

/** Creates an imported snapshot, COMPLETE at once and without files, from tables that exist (YSQL) or are created now (YCQL). */
export async function importSnapshot(
  world: World,
  metadata: SnapshotMetadata,
  target: string,
): Promise<Imported> {
  if (metadata.namespace.kind === 'ycql') await createKeyspace(world, metadata, target);
  await synchronize(world);
  const { kind } = metadata.namespace;
  const namespace = world.state.namespaces.find(
    (other) => other.kind === kind && other.name === target && !other.gone,
  );
  if (namespace === undefined) {
    throw new Failure('Invalid argument', `YSQL database must exist: ${target}`, 'NAMESPACE_NOT_FOUND');
  }
  const pairs = await world.connected(databaseOf(namespace), async (client) => {
    const found: { old: SnapshotTable; table: TableState }[] = [];
    for (const old of metadata.snapshot.objects) {
      const table = counterpart(world, namespace, old);
      // Since 2025.1 an import skips a table without a counterpart, taking it for uncommitted at the backup (facts,
      // `import_snapshot`).
      if (table === undefined && namespace.kind === 'ysql' && world.profile.importSkips) continue;
      if (table === undefined)
        throw new Failure('Invalid argument', `YSQL table not found: ${old.name}`, 'OBJECT_NOT_FOUND');
      const columns = await columnsOfTable(client, table);
      if (JSON.stringify(columns) !== JSON.stringify(old.columns)) {
        throw new Failure(
          'Invalid argument',
          `Invalid created PGSQL_TABLE_TYPE table '${old.name}' in namespace id ${namespace.id}: schema={${words(columns)}}, expected={${words(old.columns)}}`,
          'SNAPSHOT_FAILED',
        );
      }
      found.push({ old, table });
    }
    return found;
  });
  if (kind === 'ysql' && world.state.slowImports.left > 0) {
    world.state.slowImports.left -= 1;
    goOnAlone(world, pairs);
    throw new Failure(
      'Timed out',
      'ImportSnapshot RPC (request call id 9) to 127.0.0.1:7100 timed out after 60.000s',
    );
  }
  const tables = pairs.map(({ old, table }) => ({ old, table, tablets: repartition(world, old, table) }));
  const expiresAt = expiry(world, undefined);
  const snapshot: SnapshotState = {
    id: newUuid(),
    state: 'COMPLETE',
    micros: metadata.snapshot.micros,
    namespaceId: namespace.id,
    namespaceName: namespace.name,
    imported: true,
    turnsAt: world.now(),
    end: 'well',
    ...(expiresAt === undefined ? {} : { expiresAt }),
    objects: tables.map(({ old, table, tablets }) => ({
      id: table.id,
      schema: table.schema,
      name: table.name,
      kind: old.kind,
      columns: old.columns,
      ...(table.indexedTableId === undefined ? {} : { indexedTableId: table.indexedTableId }),
      ...(table.parentId === undefined ? {} : { parentId: table.parentId }),
      tablets: old.tablets.map(({ start, end }, index) => ({ id: tablets[index]?.[1] ?? '', start, end })),
    })),
  };
  world.state.snapshots.push(snapshot);
  return { snapshot, namespace, tables };
}

const words = (columns: SnapshotTable['columns']): string =>
  columns.map(({ name, type }) => `${name} ${type}`).join(', ');

/**
 * Finds a table's counterpart by schema and name, as older builds do, and newer ones when told to. Newer builds match the file numbers that a dump with
 * YugabyteDB's metadata keeps, and find nothing after a dump without them. PostgreSQL's own programs, which run behind the simulator's, keep no such
 * numbers, so `imports` decides the result.
 */
function counterpart(world: World, namespace: NamespaceState, old: SnapshotTable): TableState | undefined {
  const tables = tablesOf(world, namespace);
  if (namespace.kind === 'ysql' && world.profile.importSkips && world.state.imports === 'none')
    return undefined;
  if (old.kind === 'parent') return tables.find(({ kind }) => kind === 'parent');
  const schema = namespace.kind === 'ycql' ? namespace.name : old.schema;
  return tables.find(
    (table) => table.kind === old.kind && table.schema === schema && table.name === old.name,
  );
}

/** The master continues an import that its caller no longer waits for. It decided at the start what is to be done. */
function goOnAlone(
  world: World,
  pairs: readonly { readonly old: SnapshotTable; readonly table: TableState }[],
): void {
  const late = pairs.filter(({ old, table }) => !fits(world, old, table));
  late.forEach(({ old, table }, index) => {
    const dueAt = world.now() + (index + 1) * world.state.slowImports.msPerTable;
    world.state.lateTables.push({ tableId: table.id, old, dueAt });
  });
}

export function hasLateTables(world: World): boolean {
  return world.state.lateTables.some(({ dueAt }) => dueAt <= world.now());
}

export function ageLateTables(world: World): void {
  const due = world.state.lateTables.filter(({ dueAt }) => dueAt <= world.now());
  world.state.lateTables = world.state.lateTables.filter((late) => !due.includes(late));
  for (const { tableId, old } of due) replaceTablets(world, old, tableId);
}

function fits(world: World, old: SnapshotTable, table: TableState): boolean {
  const present = tabletsOf(world, table.id);
  return (
    present.length === old.tablets.length &&
    present.every(
      ({ start, end }, index) => old.tablets[index]?.start === start && old.tablets[index]?.end === end,
    )
  );
}

function replaceTablets(world: World, old: SnapshotTable, tableId: string): void {
  for (const tablet of tabletsOf(world, tableId)) dropTablet(world, tablet);
  world.state.tablets.push(...old.tablets.map(({ start, end }) => newTablet(world, tableId, { start, end })));
}

/**
 * Returns tablets with the backup's boundaries: the existing ones if they fit, else new ones. YCQL can't re-partition; its tables were
 * just created with these boundaries.
 */
function repartition(
  world: World,
  old: SnapshotTable,
  table: TableState,
): readonly (readonly [string, string])[] {
  if (!fits(world, old, table)) replaceTablets(world, old, table.id);
  const tablets = tabletsOf(world, table.id);
  return old.tablets.map(({ id }, index) => [id, tablets[index]?.id ?? ''] as const);
}

/** Creates missing tables of a keyspace; an existing one must equal the backup's. What a failed import created stays. */
async function createKeyspace(world: World, { snapshot }: SnapshotMetadata, target: string): Promise<void> {
  const keyspace = `"${target.replaceAll('"', '""')}"`;
  await world.connected(YCQL_STORE, async (client) => {
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${keyspace}`);
    for (const { kind, name, definition = [] } of [...snapshot.objects].sort(tablesFirst)) {
      const { rows } = await client.query(
        'SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = $1 AND relname = $2',
        [target, name],
      );
      if (rows.length > 0 || kind === 'parent') continue;
      for (const statement of definition) await client.query(statement.replaceAll('@keyspace@', keyspace));
    }
  });
}

function tablesFirst(a: SnapshotTable, b: SnapshotTable): number {
  return Number(a.kind === 'index') - Number(b.kind === 'index');
}
