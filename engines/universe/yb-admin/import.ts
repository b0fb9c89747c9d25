import { defined } from '../../../model/defined.ts';
import { unreadable } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { canonicalUuid, isObjectId, isUuid, rowsOf } from './text.ts';

/** What `import_snapshot` created: old ids and new ones. */
interface ImportMapping {
  readonly oldSnapshot: string;
  readonly newSnapshot: string;
  readonly tables: readonly ImportedTable[];
}

interface IdPair {
  readonly oldId: string;
  readonly newId: string;
}

/** A table of an imported snapshot, with its tablets: old ids and new ones. */
export interface ImportedTable extends IdPair {
  /** An index is a `table` too: yb-admin doesn't distinguish them. A colocated table's tablet is its parent's. */
  readonly kind: 'table' | 'colocated' | 'colocated-parent';
  readonly namespace?: IdPair;
  readonly tablets: readonly IdPair[];
}

/**
 * Imports a snapshot's metadata. Of a YSQL database the tables must exist; of a YCQL keyspace the import creates them. Not idempotent: each call
 * makes another imported snapshot. `namespace` names the target, e.g. `ysql.orders`.
 */
export async function importSnapshot(
  admin: YbAdmin,
  file: string,
  namespace: string,
  options: { readonly tables: number },
): Promise<ImportMapping> {
  // The program's own limit is for one RPC; it sends one for each table, and waits for each table to be created.
  const limitMs = (admin.settings.timeoutMs ?? 60_000) * (options.tables + 2);
  return parseImport(await admin.run('import_snapshot', [file, namespace], { limitMs }));
}

const TABLE_KINDS: Readonly<Record<string, ImportedTable['kind']>> = {
  Table: 'table',
  ColocatedTable: 'colocated',
  ParentColocatedTable: 'colocated-parent',
};

interface OpenTable extends IdPair {
  readonly kind: ImportedTable['kind'];
  readonly namespace?: IdPair;
  readonly tablets: IdPair[];
}

/** A `Keyspace` row comes before each table. Tablets are numbered from 0 in each table. */
export function parseImport(output: string): ImportMapping {
  let namespace: IdPair | undefined;
  let snapshot: IdPair | undefined;
  const tables: OpenTable[] = [];
  for (const [label = '', oldId = '', newId = ''] of mappingRows(output)) {
    const pair = { oldId, newId };
    const kind = TABLE_KINDS[label];
    if (label === 'Keyspace') namespace = pair;
    else if (label === 'Snapshot') snapshot = pair;
    else if (/^Tablet\s*\d+$/.test(label)) {
      const table = tables.at(-1);
      if (table === undefined) throw unreadable('import_snapshot', output, 'table before its tablets');
      table.tablets.push(pair);
    } else if (kind !== undefined) {
      tables.push({ kind, ...pair, ...defined({ namespace }), tablets: [] });
    }
    // Other rows (types, and kinds that later versions add) have no files.
  }
  if (snapshot === undefined || !isUuid(snapshot.oldId) || !isUuid(snapshot.newId)) {
    throw unreadable('import_snapshot', output, 'row "Snapshot"');
  }
  return {
    oldSnapshot: canonicalUuid(snapshot.oldId),
    newSnapshot: canonicalUuid(snapshot.newId),
    tables,
  };
}

/** Rows of three cells whose second and third are ids. */
function mappingRows(output: string): readonly (readonly string[])[] {
  return rowsOf(output).filter(([, oldId = '', newId = '']) =>
    [oldId, newId].every((id) => isUuid(id) || isObjectId(id)),
  );
}
