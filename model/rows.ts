import { formatAmount } from './amounts.ts';
import type { Manifest, ManifestTable } from './manifest.ts';

/** How many rows something holds, as far as anybody knows. Pure. */
export interface KnownRows {
  /** Null where a table's rows were neither counted nor estimated: never a 0 that nobody counted. */
  readonly rows: number | null;
  /** `rows` rests, at least in part, on the server's statistics. */
  readonly rowsEstimated?: true;
}

export const NOT_COUNTED = 'not counted';

/** Of a whole backup. */
export function rowsOf(manifest: Pick<Manifest, 'databases' | 'totals' | 'universe'>): KnownRows {
  const tables = manifest.databases.flatMap((database) => database.tables);
  if (isBeforeRowsAre(manifest, tables)) return { rows: null };
  const each = tables.map(known);
  if (each.some(({ rows }) => rows === null)) return { rows: null };
  return {
    rows: manifest.totals.rows,
    ...(each.some(({ rowsEstimated }) => rowsEstimated === true) ? { rowsEstimated: true } : {}),
  };
}

/** Of one table of a backup. */
export function rowsOfTable(
  manifest: Pick<Manifest, 'databases' | 'universe'>,
  table: ManifestTable,
): KnownRows {
  const tables = manifest.databases.flatMap((database) => database.tables);
  return isBeforeRowsAre(manifest, tables) ? { rows: null } : known(table);
}

/** `12 rows`, `about 12 rows`, `rows not counted`. */
export function describeRows({ rows, rowsEstimated }: KnownRows): string {
  if (rows === null) return `rows ${NOT_COUNTED}`;
  return `${rowsEstimated === true ? 'about ' : ''}${formatAmount(rows, 'row')}`;
}

function known({ rows, rowsAre }: ManifestTable): KnownRows {
  if (rowsAre === undefined) return { rows };
  return rowsAre === 'unknown' ? { rows: null } : { rows, rowsEstimated: true };
}

/** A backup of a universe from before `rowsAre` that has no count but 0 was made without counting, as far as anybody can tell. */
function isBeforeRowsAre(
  { universe }: Pick<Manifest, 'universe'>,
  tables: readonly ManifestTable[],
): boolean {
  if (universe === undefined || tables.length === 0) return false;
  return tables.every(({ rows, rowsAre }) => rows === 0 && rowsAre === undefined);
}
