import { permanent } from '../../../model/errors.ts';
import type { Cell, DeleteMessage, InsertMessage, Tuple, UpdateMessage } from './messages.ts';
import { WireRow } from './wire-row.ts';

/*
 * Of many changes of a row in one batch only the last state matters. Folding finds it, so that a row that was updated a thousand times is
 * written once. It keeps apart what must have been there before the batch and what must not, so that applying it proves that the
 * batch belongs to the data that it is applied to.
 */

export type RowChange = InsertMessage | UpdateMessage | DeleteMessage;

/** A row by its key before and after the batch. */
export interface FoldedRow {
  /** Values of the key columns, in the key's order. */
  readonly key: Tuple;
  /** Whether a row of this key was there before the batch. */
  readonly existed: boolean;
  /** The row after the batch; `undefined` in it: as it was before the batch in the row `origin`. Absent: there is none. */
  readonly row?: Tuple;
  /** In place of `row`, for one that came whole in this batch and was not changed since: the row as it came. */
  readonly wire?: WireRow;
  /** The key, before the batch, of the row that the unset values of `row` come from. Present exactly where some are unset. */
  readonly origin?: Tuple;
}

interface Entry {
  readonly key: Tuple;
  readonly existed: boolean;
  row: Tuple | WireRow | undefined;
  origin: Tuple | undefined;
}

/** What is known of a row that leaves. */
interface Before {
  readonly row: Tuple | undefined;
  readonly origin: Tuple | undefined;
}

/**
 * The changes of one table in one batch, by key. `columns` are the key's positions in a tuple.
 *
 * Keys are compared as text. That is exact, though a type may call two texts equal (numeric 1.0 and 1.00): a row leaves under the very
 * text under which it came, and what leaves is removed before anything is inserted.
 */
export class KeyedFold {
  readonly #name: string;
  readonly #columns: readonly number[];
  readonly #entries = new Map<string, Entry>();

  constructor(name: string, columns: readonly number[]) {
    this.#name = name;
    this.#columns = columns;
  }

  /** Adds the next change. Throws `ARCHIVE_INCONSISTENT` (permanent) where it can't follow the ones before it. */
  add(change: RowChange): void {
    if (change.kind === 'insert') this.#insert(change);
    else if (change.kind === 'delete') this.#leave(this.#keyOf(change.old.tuple));
    else this.#update(change);
  }

  /** Rows whose state may differ from that before the batch. */
  rows(): readonly FoldedRow[] {
    return [...this.#entries.values()].map(({ key, existed, row, origin }) => {
      if (row === undefined) return { key, existed };
      if (row instanceof WireRow) return { key, existed, wire: row };
      return { key, existed, row, ...(origin === undefined ? {} : { origin }) };
    });
  }

  #insert(change: InsertMessage): void {
    const { wire } = change;
    // `row` is made of what came when it is asked for, so it is not.
    if (wire?.isWhole === true) this.#come(wire.cells(this.#columns), wire, undefined);
    else if (change.row.includes(undefined)) throw this.#inconsistent('a row comes that lacks a value');
    else this.#come(this.#keyOf(change.row), change.row, undefined);
  }

  #update({ old: told, row }: UpdateMessage): void {
    // YugabyteDB 2025.2 sends an old row of which nothing is set, where the key stays.
    const old = this.#columns.some((column) => told?.tuple[column] !== undefined) ? told : undefined;
    // A key value that is stored out of line and did not change is left out of the new row.
    const newKeyFrom = (cell: Cell, column: number) => (cell === undefined ? old?.tuple[column] : cell);
    const key = this.#columns.map((column) => newKeyFrom(row[column], column));
    const oldKey = old === undefined ? key : this.#keyOf(old.tuple);
    const known = old?.of === 'row' ? old.tuple : undefined;
    const before = this.#leave(oldKey);
    const merged = row.map((cell, column) => {
      if (cell !== undefined) return cell;
      const at = this.#columns.indexOf(column);
      return at < 0 ? (known?.[column] ?? before.row?.[column]) : key[at];
    });
    const isWhole = merged.every((cell) => cell !== undefined);
    this.#come(key, merged, isWhole ? undefined : before.origin);
  }

  #come(key: Tuple, row: Tuple | WireRow, origin: Tuple | undefined): void {
    const name = this.#nameOf(key);
    const entry = this.#entries.get(name);
    if (entry === undefined) this.#entries.set(name, { key, existed: false, row, origin });
    else if (entry.row === undefined) {
      entry.row = row;
      entry.origin = origin;
    } else throw this.#inconsistent('a row comes whose key is there already');
  }

  #leave(key: Tuple): Before {
    const name = this.#nameOf(key);
    const entry = this.#entries.get(name);
    if (entry === undefined) {
      this.#entries.set(name, { key, existed: true, row: undefined, origin: undefined });
      return { row: undefined, origin: key };
    }
    const { row, origin } = entry;
    if (row === undefined) throw this.#inconsistent('a row is changed that was deleted before');
    if (entry.existed) {
      entry.row = undefined;
      entry.origin = undefined;
    } else this.#entries.delete(name);
    return { row: row instanceof WireRow ? row.tuple() : row, origin };
  }

  #keyOf(tuple: Tuple): Tuple {
    return this.#columns.map((column) => tuple[column]);
  }

  #nameOf(key: Tuple): string {
    if (key.some((cell) => cell === undefined || cell === null)) {
      throw this.#inconsistent('a change has no value of a key column');
    }
    return JSON.stringify(key);
  }

  #inconsistent(problem: string): Error {
    return inconsistent(this.#name, problem);
  }
}

/** So many copies of a row more than before the batch, or fewer. */
export interface FoldedCopies {
  readonly row: Tuple;
  /** Never 0. */
  readonly change: number;
}

/**
 * The changes of a table without a key, whose identity is the whole row. Equal rows can't be told apart, so that a batch comes
 * down to how many copies of each row it adds or takes away.
 */
export class KeylessFold {
  readonly #name: string;
  readonly #copies = new Map<string, { readonly row: Tuple; change: number }>();

  constructor(name: string) {
    this.#name = name;
  }

  /** Adds the next change. Throws `ARCHIVE_INCONSISTENT` (permanent) where it doesn't say which row it changes. */
  add(change: RowChange): void {
    if (change.kind === 'insert') {
      this.#count(change.row, 1);
      return;
    }
    const { old } = change;
    if (old?.of !== 'row') throw inconsistent(this.#name, "a change doesn't hold the whole row as it was");
    this.#count(old.tuple, -1);
    if (change.kind === 'delete') return;
    // With the whole old row at hand, nothing is left unset.
    this.#count(
      change.row.map((cell, column) => (cell === undefined ? old.tuple[column] : cell)),
      1,
    );
  }

  copies(): readonly FoldedCopies[] {
    return [...this.#copies.values()];
  }

  #count(row: Tuple, change: number): void {
    if (row.some((cell) => cell === undefined)) throw inconsistent(this.#name, 'a row lacks a value');
    const name = JSON.stringify(row);
    const known = this.#copies.get(name);
    const sum = (known?.change ?? 0) + change;
    if (sum === 0) this.#copies.delete(name);
    else this.#copies.set(name, { row, change: sum });
  }
}

function inconsistent(table: string, problem: string): Error {
  return permanent(
    'ARCHIVE_INCONSISTENT',
    `The archived changes of table ${table} don't follow each other: ${problem}`,
    'The archive lacks a change or has one twice: restore an instant before it, and run verify on the archive.',
  );
}
