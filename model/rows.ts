import { formatAmount } from './amounts.ts';
import type { Manifest, ManifestTable } from './manifest.ts';

/** How many rows something holds, as far as anybody knows. Pure. */
export interface KnownRows {
  /**
   * Rows of the tables whose number is known. Null where that says nothing, because other tables' rows aren't known: never a 0
   * that nobody counted.
   */
  readonly rows: number | null;
  /** Present where `rows` rests, at least in part, on the server's statistics. */
  readonly rowsEstimated?: true;
  /** How many tables' rows are not in `rows`, since they were neither counted nor estimated. Absent: none. */
  readonly tablesNotCounted?: number;
}

export const NOT_COUNTED = 'not counted';

/** The rows of a whole backup. */
export function rowsOf(manifest: Pick<Manifest, 'databases' | 'universe'>): KnownRows {
  const tables = manifest.databases.flatMap((database) => database.tables);
  return addRows(tables.map((table) => rowsOfTable(manifest, table)));
}

/** The rows of one table of a backup. */
export function rowsOfTable(
  manifest: Pick<Manifest, 'databases' | 'universe'>,
  { rows, rowsAre }: Pick<ManifestTable, 'rows' | 'rowsAre'>,
): KnownRows {
  if (rowsAre === 'unknown' || isBeforeRowsAre(manifest)) return UNKNOWN;
  return rowsAre === 'estimated' ? { rows, rowsEstimated: true } : { rows };
}

/** The rows of a table that nobody counted. */
export const UNKNOWN: KnownRows = { rows: null, tablesNotCounted: 1 };

/** The rows of several tables together. */
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

/** True for a backup of a universe that is older than `rowsAre` and has no count but 0. It counts as made without counting. */
function isBeforeRowsAre({ universe, databases }: Pick<Manifest, 'databases' | 'universe'>): boolean {
  if (universe === undefined) return false;
  const tables = databases.flatMap((database) => database.tables);
  return tables.every(({ rows, rowsAre }) => rows === 0 && rowsAre === undefined);
}
