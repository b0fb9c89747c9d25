import type { Client } from 'pg';
import { flushReplica } from './files.ts';
import { visibleNow } from './history.ts';
import { dropTablet, evenRanges, newTablet } from './placement.ts';
import { columnsOf, listRelations, type Relation, readRows, type StoredRow, YCQL_STORE } from './rows.ts';
import type { NamespaceState, TableState, TabletState } from './state.ts';
import { newId, type World } from './world.ts';

/** Returns an id of YSQL: `DDDDDDDD 0000300080000000 TTTTTTTT`, the oids of database and table in hex, without the spaces. */
export function ysqlId(database: number, table: number): string {
  const hex = (oid: number): string => oid.toString(16).padStart(8, '0');
  return `${hex(database)}0000300080000000${hex(table)}`;
}

/** Updates the state with everything that SQL has created, renamed and dropped since the last call. */
export async function synchronize(world: World): Promise<void> {
  const databases = await world.connected('postgres', async (client) => {
    const { rows } = await client.query<{ oid: number; name: string; colocated: boolean }>(
      `SELECT d.oid::int8::int AS oid, datname AS name,
         EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND 'yb.colocated=true' = ANY (s.setconfig)) AS colocated
       FROM pg_database d WHERE NOT datistemplate ORDER BY d.oid`,
    );
    return rows;
  });
  const seen = new Set<string>();
  for (const { oid, name, colocated } of databases) {
    if (name === YCQL_STORE) {
      await world.connected(name, (client) => synchronizeKeyspaces(world, client, seen));
    } else {
      const namespace = noteNamespace(world, { id: ysqlId(oid, 0), kind: 'ysql', name, colocated });
      seen.add(namespace.id);
      await world.connected(name, async (client) => {
        noteTables(world, namespace, await listRelations(client), (table) => ysqlId(oid, table));
      });
    }
  }
  for (const namespace of world.state.namespaces) {
    if (seen.has(namespace.id) || namespace.gone) continue;
    namespace.gone = true;
    noteTables(world, namespace, [], newId);
  }
}

async function synchronizeKeyspaces(world: World, client: Client, seen: Set<string>): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT nspname AS name FROM pg_namespace WHERE oid >= 16384 AND nspname NOT LIKE 'pg_%' AND nspname <> 'public' ORDER BY oid",
  );
  const relations = await listRelations(client);
  for (const { name } of rows) {
    const known = world.state.namespaces.find(
      (other) => other.kind === 'ycql' && other.name === name && !other.gone,
    );
    const namespace = noteNamespace(world, {
      id: known?.id ?? newId(),
      kind: 'ycql',
      name,
      colocated: false,
    });
    seen.add(namespace.id);
    noteTables(
      world,
      namespace,
      relations.filter(({ schema }) => schema === name),
      newId,
    );
  }
}

function noteNamespace(world: World, found: Omit<NamespaceState, 'gone'>): NamespaceState {
  const known = world.state.namespaces.find(({ id }) => id === found.id);
  if (known !== undefined) {
    known.name = found.name;
    known.colocated = found.colocated;
    return known;
  }
  const namespace = { ...found, gone: false };
  world.state.namespaces.push(namespace);
  return namespace;
}

function noteTables(
  world: World,
  namespace: NamespaceState,
  relations: readonly Relation[],
  idOf: (oid: number) => string,
): void {
  const { state } = world;
  const before = state.tables.filter(({ namespaceId }) => namespaceId === namespace.id);
  const parent = namespace.colocated && relations.length > 0 ? parentTable(world, namespace) : undefined;
  for (const relation of relations) {
    const known = before.find(({ oid, kind }) => oid === relation.oid && kind !== 'parent');
    if (known !== undefined) {
      known.schema = relation.schema;
      known.name = relation.name;
      continue;
    }
    const indexed = state.tables.find(
      ({ oid, namespaceId }) => oid === relation.tableOid && namespaceId === namespace.id,
    );
    const table: TableState = {
      id: idOf(relation.oid),
      namespaceId: namespace.id,
      schema: relation.schema,
      name: relation.name,
      kind: relation.kind,
      oid: relation.oid,
      ...(indexed === undefined ? {} : { indexedTableId: indexed.id }),
      ...(parent === undefined ? {} : { parentId: parent.id }),
    };
    state.tables.push(table);
    if (parent === undefined) {
      for (const range of evenRanges(state.config.tabletsPerTable))
        state.tablets.push(newTablet(world, table.id, range));
    }
  }
  const oids = new Set(relations.map(({ oid }) => oid));
  for (const table of before) {
    if (table.orphan === true && !namespace.gone) continue;
    if (table.kind === 'parent' ? relations.length > 0 : oids.has(table.oid)) continue;
    state.tables = state.tables.filter((other) => other !== table);
    for (const tablet of state.tablets.filter(({ tableId }) => tableId === table.id))
      dropTablet(world, tablet);
  }
}

/** Returns the parent table of a colocated database, whose one tablet holds all its tables. */
function parentTable(world: World, namespace: NamespaceState): TableState {
  const known = world.state.tables.find(
    ({ namespaceId, kind }) => namespaceId === namespace.id && kind === 'parent',
  );
  if (known !== undefined) return known;
  const suffix = world.profile.newTexts ? 'colocation' : 'colocated';
  const table: TableState = {
    id: `${namespace.id}.${suffix}.parent.uuid`,
    namespaceId: namespace.id,
    schema: '',
    name: `${namespace.id}.${suffix}.parent.tablename`,
    kind: 'parent',
    oid: 0,
  };
  world.state.tables.push(table);
  world.state.tablets.push(newTablet(world, table.id, { start: 0, end: 65_536 }));
  return table;
}

/** Adds a table with tablets of its own that YSQL's catalogue doesn't have. */
export function addOrphan(world: World, namespace: NamespaceState, name: string): TableState {
  const oid = 90_000 + world.state.tables.length;
  const table: TableState = {
    id: ysqlId(Number.parseInt(namespace.id.slice(0, 8), 16), oid),
    namespaceId: namespace.id,
    schema: '',
    name,
    kind: 'table',
    orphan: true,
    oid: 0,
  };
  world.state.tables.push(table);
  for (const range of evenRanges(world.state.config.tabletsPerTable))
    world.state.tablets.push(newTablet(world, table.id, range));
  return table;
}

export function databaseOf(namespace: NamespaceState): string {
  return namespace.kind === 'ysql' ? namespace.name : YCQL_STORE;
}

export function tablesOf(world: World, namespace: NamespaceState): readonly TableState[] {
  return world.state.tables.filter(({ namespaceId }) => namespaceId === namespace.id);
}

export function tabletsOf(world: World, tableId: string): readonly TabletState[] {
  return world.state.tablets
    .filter((tablet) => tablet.tableId === tableId && tablet.state === 'RUNNING')
    .sort((a, b) => a.start - b.start);
}

/**
 * Writes the current rows of these tables, all as of one instant, into the tablets' files on every live replica. Returns which transactions the rows include.
 */
export async function flush(
  world: World,
  namespace: NamespaceState,
  tables: readonly TableState[],
): Promise<string> {
  return await world.connected(databaseOf(namespace), async (client) => {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const visible = await visibleNow(client);
    const byTable = new Map<string, StoredRow[]>();
    for (const table of tables) {
      const target = byTable.get(table.parentId ?? table.id) ?? [];
      byTable.set(table.parentId ?? table.id, target);
      if (table.kind === 'parent' || table.orphan === true) continue;
      const relation = { oid: table.oid, schema: table.schema, name: table.name, kind: table.kind };
      for (const row of await readRows(client, relation)) target.push(row);
    }
    await client.query('COMMIT');
    for (const [tableId, rows] of byTable) {
      for (const tablet of tabletsOf(world, tableId)) {
        const own = rows.filter(({ hash }) => hash >= tablet.start && hash < tablet.end);
        for (const replica of tablet.replicas) {
          if (world.isAlive(replica.server)) flushReplica(replica, tablet, own);
        }
      }
    }
    return visible;
  });
}

export async function columnsOfTable(client: Client, table: TableState) {
  const columns =
    table.kind === 'index' || table.kind === 'parent' || table.orphan === true
      ? []
      : await columnsOf(client, table.oid);
  return columns.filter(({ generated }) => !generated).map(({ name, type }) => ({ name, type }));
}
