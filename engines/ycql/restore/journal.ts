import { permanent } from '../../../model/errors.ts';
import { isInvalid } from '../errors.ts';
import { quoteTable } from '../identifiers.ts';
import { JOURNAL_COLUMNS, journalTableFor } from '../journal-table.ts';
import { rowsOf } from '../rows.ts';
import type { CqlSession } from '../session.ts';
import type { KeyspaceJob } from './job.ts';

/**
 * What a restore notes in the keyspace that it writes into: the restore's name, what it created, and which objects are loaded or begun. The journal
 * marks the keyspace as unfinished, and is dropped at the end.
 */
export class Journal {
  readonly #session: CqlSession;
  readonly #keyspace: string;
  readonly #signal: AbortSignal;

  readonly #name: string;

  /** @param name of its table, which is not always the first of `journalTableFor` */
  constructor(
    session: CqlSession,
    keyspace: string,
    signal: AbortSignal,
    name = journalTableFor({ tables: [] }),
  ) {
    this.#session = session;
    this.#keyspace = keyspace;
    this.#signal = signal;
    this.#name = name;
  }

  /** The journal of a restore of this keyspace. */
  static of(session: CqlSession, { to, schema }: KeyspaceJob, signal: AbortSignal): Journal {
    return new Journal(session, to, signal, journalTableFor(schema));
  }

  async create(): Promise<void> {
    await this.#session.execute(
      `make a journal in keyspace ${this.#keyspace}`,
      `CREATE TABLE IF NOT EXISTS ${this.#table} (${JOURNAL_COLUMNS})`,
      [],
      this.#signal,
    );
  }

  async drop(): Promise<void> {
    await this.#session.execute(
      `drop the journal of keyspace ${this.#keyspace}`,
      `DROP TABLE IF EXISTS ${this.#table}`,
      [],
      this.#signal,
    );
  }

  async set(item: string, value: string): Promise<void> {
    await this.#session.execute(
      `note ${item} in keyspace ${this.#keyspace}`,
      `INSERT INTO ${this.#table} (item, value) VALUES (?, ?)`,
      [Buffer.from(item), Buffer.from(value)],
      this.#signal,
    );
  }

  async unset(item: string): Promise<void> {
    await this.#session.execute(
      `forget ${item} in keyspace ${this.#keyspace}`,
      `DELETE FROM ${this.#table} WHERE item = ?`,
      [Buffer.from(item)],
      this.#signal,
    );
  }

  async get(item: string): Promise<string | undefined> {
    const page = await this.#session.rows(
      `look up ${item} in keyspace ${this.#keyspace}`,
      `SELECT value FROM ${this.#table} WHERE item = ?`,
      [Buffer.from(item)],
      this.#signal,
    );
    const [row] = rowsOf(page, 1);
    return row?.[0]?.toString();
  }

  /** Replaces the note `before` (undefined: none) by `after`. Returns whether it did: of two attempts that try, only one succeeds. */
  async exchange(item: string, before: string | undefined, after: string): Promise<boolean> {
    const doing = `note ${item} in keyspace ${this.#keyspace}`;
    const [key, value] = [Buffer.from(item), Buffer.from(after)];
    return before === undefined
      ? await this.#session.writeIf(
          doing,
          `INSERT INTO ${this.#table} (item, value) VALUES (?, ?) IF NOT EXISTS`,
          [key, value],
          this.#signal,
        )
      : await this.#session.writeIf(
          doing,
          `UPDATE ${this.#table} SET value = ? WHERE item = ? IF value = ?`,
          [value, key, Buffer.from(before)],
          this.#signal,
        );
  }

  /** All notes by item; undefined if there is no journal (or no keyspace). */
  async find(): Promise<ReadonlyMap<string, string> | undefined> {
    try {
      const page = await this.#session.rows(
        `read the journal of keyspace ${this.#keyspace}`,
        `SELECT item, value FROM ${this.#table}`,
        [],
        this.#signal,
      );
      return new Map(
        [...rowsOf(page, 2)].map(([item, value]) => [item?.toString() ?? '', value?.toString() ?? '']),
      );
    } catch (error) {
      if (error instanceof Error && isInvalid(error.cause)) return undefined;
      throw error;
    }
  }

  get #table(): string {
    return quoteTable(this.#keyspace, this.#name);
  }
}

/** The restore's name, and whether the restore created the keyspace. */
export const RESTORE_ITEM = 'restore';
export const ORIGIN_ITEM = 'origin';
export const PREPARED_ITEM = 'prepared';

export function tableItem(name: string): string {
  return `table ${name}`;
}

export function typeItem(name: string): string {
  return `type ${name}`;
}

/** @param types of its arguments: a name may stand for several functions. */
export function functionItem(name: string, types: readonly string[]): string {
  return `function ${name}(${types.join(', ')})`;
}

/** @param types of its arguments */
export function aggregateItem(name: string, types: readonly string[]): string {
  return `aggregate ${name}(${types.join(', ')})`;
}

export function viewItem(name: string): string {
  return `view ${name}`;
}

export function objectItem(key: string): string {
  return `object ${key}`;
}

/** Correcting counters at the end. */
export const COUNTERS_ITEM = 'counters';

/** How an object's rows were loaded. */
export interface LoadedRows {
  /** Rows that were written. */
  readonly rows: number;
  /** Rows that had expired since they were read. */
  readonly expired: number;
}

/** Throws `RESTORE_NOT_OURS` (permanent) if another restore is at work in the keyspace. */
export function checkOurs(
  { to: keyspace, schema }: KeyspaceJob,
  noted: ReadonlyMap<string, string>,
  restore: string,
): void {
  const other = noted.get(RESTORE_ITEM);
  if (other === undefined || other === restore) return;
  throw permanent(
    'RESTORE_NOT_OURS',
    `Keyspace ${keyspace} is under restore ${other}, or that restore was given up`,
    `Restore under another name; or, if nothing runs any more, drop the keyspace (or its table ${journalTableFor(schema)}).`,
  );
}
