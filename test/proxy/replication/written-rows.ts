import type { Statement } from '../sql.ts';
import type { Change, Column } from './messages.ts';

/** Rows that a slot sends though no change of a row made them: `yb_rows_written` of install.ts. */
export interface WrittenRows {
  readonly xid: number;
  readonly changes: readonly Change[];
}

type Found = {
  readonly xid: number;
  readonly tables: readonly {
    readonly oid: number;
    readonly schema: string;
    readonly name: string;
    readonly columns: readonly Column[];
    readonly rows: readonly (readonly (string | null)[])[];
  }[];
};

/** Reads what `yb_rows_written` found; undefined where there was nothing. */
export function writtenRows(json: string): WrittenRows | undefined {
  if (json === '') return undefined;
  const { xid, tables } = JSON.parse(json) as Found;
  const changes = tables.flatMap(({ rows, ...relation }) =>
    rows.map(
      (row): Change => ({
        ...{ kind: 'insert', relation, types: [], before: undefined },
        after: row.map((cell) => (cell === null ? null : Buffer.from(cell))),
      }),
    ),
  );
  return { xid: xid % 2 ** 32, changes };
}

/** `SAVEPOINT name` and `ROLLBACK TO [SAVEPOINT] name`; undefined for anything else. */
export function savepointStep(
  statement: Statement,
): { readonly kind: 'set' | 'rollback'; readonly name: string } | undefined {
  const words = statement.tokens.map(({ text }) => text);
  if (words[0] === 'savepoint') return { kind: 'set', name: words[1] ?? '' };
  const to = words.indexOf('to');
  if (words[0] !== 'rollback' || to < 0) return undefined;
  return { kind: 'rollback', name: words.at(-1) ?? '' };
}

/** Asks for the rows of a transaction that came after the transaction id `since`, before they are rolled back. */
export function rowsSince(since: string): string {
  return `SELECT pg_catalog.yb_rows_written(${since}, NULL)`;
}

/** Asks for all rows of a table. */
export function rowsOf(table: string): string {
  return `SELECT pg_catalog.yb_rows_written(NULL, '${table.replaceAll("'", "''")}'::regclass)`;
}
