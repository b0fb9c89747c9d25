import { formatAmount } from './amounts.ts';
import type { Manifest, ManifestTable } from './manifest.ts';

/** How many rows something holds, as far as anybody knows. Pure. */
export interface KnownRows {
  /** Of the tables whose rows are known; null where that says nothing, because others' are not: never a 0 that nobody counted. */
  readonly rows: number | null;
  /** `rows` rests, at least in part, on the server's statistics. */
  readonly rowsEstimated?: true;
  /** Tables whose rows are not in `rows`, since they were neither counted nor estimated. Absent: none. */
  readonly tablesNotCounted?: number;
}

export const NOT_COUNTED = 'not counted';

/** Of a whole backup. */
export function rowsOf(manifest: Pick<Manifest, 'databases' | 'universe'>): KnownRows {
  const tables = manifest.databases.flatMap((database) => database.tables);
  return addRows(tables.map((table) => rowsOfTable(manifest, table)));
}

/** Of one table of a backup. */
export function rowsOfTable(
  manifest: Pick<Manifest, 'databases' | 'universe'>,
  { rows, rowsAre }: Pick<ManifestTable, 'rows' | 'rowsAre'>,
): KnownRows {
  if (rowsAre === 'unknown' || isBeforeRowsAre(manifest)) return UNKNOWN;
  return rowsAre === 'estimated' ? { rows, rowsEstimated: true } : { rows };
}

/** Of a table that nobody asked. */
export const UNKNOWN: KnownRows = { rows: null, tablesNotCounted: 1 };

/** Of several tables together. */
export function addRows(each: readonly KnownRows[]): KnownRows {
  const rows = each.reduce((sum, one) => sum + (one.rows ?? 0), 0);
  const tablesNotCounted = each.reduce((sum, one) => sum + (one.tablesNotCounted ?? 0), 0);
  if (tablesNotCounted === 0) return { rows, ...estimated(each) };
  return rows === 0 ? { rows: null, tablesNotCounted } : { rows, ...estimated(each), tablesNotCounted };
}

/** `12 rows`, `about 12 rows (3 tables not counted)`, `rows not counted`. */
export function describeRows({ rows, rowsEstimated, tablesNotCounted = 0 }: KnownRows): string {
  if (rows === null) return `rows ${NOT_COUNTED}`;
  const besides =
    tablesNotCounted === 0 ? '' : ` (${formatAmount(tablesNotCounted, 'table')} ${NOT_COUNTED})`;
  return `${rowsEstimated === true ? 'about ' : ''}${formatAmount(rows, 'row')}${besides}`;
}

function estimated(each: readonly KnownRows[]): { readonly rowsEstimated?: true } {
  return each.some(({ rowsEstimated }) => rowsEstimated === true) ? { rowsEstimated: true } : {};
}

/** A backup of a universe from before `rowsAre` that has no count but 0 is taken as made without counting. */
function isBeforeRowsAre({ universe, databases }: Pick<Manifest, 'databases' | 'universe'>): boolean {
  if (universe === undefined) return false;
  const tables = databases.flatMap((database) => database.tables);
  return tables.every(({ rows, rowsAre }) => rows === 0 && rowsAre === undefined);
}
