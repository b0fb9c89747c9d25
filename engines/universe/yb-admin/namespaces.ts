import { unreadable } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { isObjectId } from './text.ts';

/** A YSQL database or YCQL keyspace, as `list_namespaces` prints it. */
export interface Namespace {
  readonly id: string;
  readonly name: string;
  readonly kind: 'ysql' | 'ycql';
  /** e.g. `RUNNING`, `DELETING`. */
  readonly state: string;
  /** Undefined where the build doesn't say. */
  readonly colocated?: boolean;
}

/** A table, as `list_tables` prints it. */
export interface ListedTable {
  readonly id: string;
  readonly kind: 'ysql' | 'ycql';
  readonly namespace: string;
  /** As printed; how newer builds show a YSQL schema is not known. */
  readonly name: string;
  readonly type: 'catalog' | 'table' | 'index' | 'matview' | 'parent_table' | 'other';
}

/** Databases and keyspaces, including those of the system. */
export async function listNamespaces(admin: YbAdmin): Promise<readonly Namespace[]> {
  return parseNamespaces(await admin.run('list_namespaces', []));
}

/** A name may hold spaces, so columns are counted from the end. */
export function parseNamespaces(output: string): readonly Namespace[] {
  const namespaces = output.split(/\r?\n/).flatMap((line) => {
    const [, name, id, kind, state, colocated] =
      /^\s*(.+?)\s+([0-9a-f]{32})\s+(ysql|ycql|pgsql|cql)\s+([A-Z_]+)(?:\s+(true|false))?\s*$/.exec(line) ??
      [];
    if (name === undefined || id === undefined || state === undefined) return [];
    return [
      {
        id,
        name,
        kind: kind === 'ysql' || kind === 'pgsql' ? ('ysql' as const) : ('ycql' as const),
        state,
        ...(colocated === undefined ? {} : { colocated: colocated === 'true' }),
      },
    ];
  });
  if (namespaces.length === 0 && !/Namespaces:/.test(output)) {
    throw unreadable('list_namespaces', output, 'row of a namespace');
  }
  return namespaces;
}

/** The namespace called `name`, or undefined. */
export async function findNamespace(
  admin: YbAdmin,
  kind: Namespace['kind'],
  name: string,
): Promise<Namespace | undefined> {
  const all = await listNamespaces(admin);
  return all.find((namespace) => namespace.kind === kind && namespace.name === name);
}

/** Lists all tables of the universe, with their ids and types. Throws `YB_ADMIN_UNREADABLE`. */
export async function listTables(admin: YbAdmin): Promise<readonly ListedTable[]> {
  return parseTables(
    await admin.run('list_tables', ['include_db_type', 'include_table_id', 'include_table_type']),
  );
}

const TYPES: ReadonlySet<string> = new Set(['catalog', 'table', 'index', 'matview', 'parent_table', 'other']);

/** Lines `ysql.db.table <id> <type>`; names of databases and tables may hold spaces and dots, ids and types don't. */
export function parseTables(output: string): readonly ListedTable[] {
  const lines = output.split(/\r?\n/).filter((line) => line.trim() !== '');
  const tables = lines.flatMap((line) => {
    const [, kind, namespace, name, id = '', type = 'other'] =
      /^(?:(ysql|ycql)\.)?([^.]+)\.(.+?)(?:\s+\[?([0-9a-f]{32}[\w.]*)\]?)?(?:\s+([a-z_]+))?\s*$/.exec(
        line.trim(),
      ) ?? [];
    if (namespace === undefined || name === undefined || !isObjectId(id)) return [];
    return [
      {
        id,
        kind: kind === 'ysql' ? ('ysql' as const) : ('ycql' as const),
        namespace,
        name,
        type: TYPES.has(type) ? (type as ListedTable['type']) : ('other' as const),
      },
    ];
  });
  if (tables.length === 0 && lines.length > 0)
    throw unreadable('list_tables', output, 'row of a table with its id');
  return tables;
}
