import type { CqlPageHeader } from '../../../repository/backups/cql-pages.ts';
import type { BoundStatement } from '../bound-statement.ts';
import { int64 } from '../bytes.ts';
import { quoteName, quoteTable } from '../identifiers.ts';
import { type RawCell, rowsOf } from '../rows.ts';
import type { CqlSession } from '../session.ts';
import { type WriterOptions, writeOnce } from './writer.ts';

/** A row of a counter table as the backup has it. */
interface CounterRow {
  readonly key: readonly RawCell[];
  /** By counter, in the header's order; null for a counter that never counted. */
  readonly counts: readonly RawCell[];
}

/**
 * Counters can only be added to, and an addition must not be repeated. So a row is first added as a whole. If the outcome of that is unknown (a
 * timeout, an attempt that died), the target's counters are read, and only the difference is added.
 */
export class CounterTable {
  readonly #session: CqlSession;
  readonly #table: string;
  readonly #keys: readonly string[];
  readonly #counters: readonly Counter[];
  readonly #keyAt: readonly number[];
  readonly #partitionColumns: number;

  constructor(session: CqlSession, header: CqlPageHeader, into: string) {
    const { columns } = header;
    this.#session = session;
    this.#table = quoteTable(into, header.table);
    this.#keyAt = columns.flatMap(({ kind }, at) =>
      kind === 'partition_key' || kind === 'clustering' ? [at] : [],
    );
    this.#keys = this.#keyAt.map((at) => quoteName(columns[at]?.name ?? ''));
    this.#partitionColumns = columns.filter(({ kind }) => kind === 'partition_key').length;
    this.#counters = columns.flatMap(({ name, kind }, at) =>
      kind === 'regular' || kind === 'static' ? [{ name, at, isStatic: kind === 'static' }] : [],
    );
  }

  get hasStatics(): boolean {
    return this.#counters.some(({ isStatic }) => isStatic);
  }

  rowOf(cells: readonly RawCell[]): CounterRow {
    return {
      key: this.#keyAt.map((at) => cells[at] ?? null),
      counts: this.#counters.map(({ at }) => cells[at] ?? null),
    };
  }

  /**
   * Adds to the row's counters: its whole counts if the row is known to be untouched, otherwise the difference. Static counters, which every row of
   * a partition repeats, always get the difference.
   */
  async write(row: CounterRow, untouched: boolean, options: WriterOptions): Promise<void> {
    const difference = async () => this.#additions(row, await this.#present(row, options));
    const isWhole = untouched && this.#counters.every(({ isStatic }) => !isStatic);
    const statements = isWhole ? this.#additions(row, undefined) : await difference();
    for (const statement of statements) {
      await writeOnce(
        this.#session,
        [statement],
        'counter',
        async () => (await difference()).filter(({ params }) => params.length === statement.params.length),
        options,
      );
    }
  }

  /** Brings the counters of a row to their values in the backup. Returns whether they differed. */
  async settle(row: CounterRow, options: WriterOptions): Promise<boolean> {
    if (this.#additions(row, await this.#present(row, options)).length === 0) return false;
    await this.write(row, false, options);
    return true;
  }

  /** One statement for the row's own counters, and one for the static ones, which belong to the partition. */
  #additions(row: CounterRow, present: readonly RawCell[] | undefined): readonly BoundStatement[] {
    return [false, true].flatMap((isStatic) => {
      const key = isStatic ? row.key.slice(0, this.#partitionColumns) : row.key;
      if (!isStatic && key.some((cell) => cell === null)) return [];
      const wanted = this.#counters.flatMap((counter, index) => {
        const count = row.counts[index] ?? null;
        if (counter.isStatic !== isStatic || count === null) return [];
        const before = present?.[index] ?? null;
        const missing = count.readBigInt64BE(0) - (before === null ? 0n : before.readBigInt64BE(0));
        // A counter of zero exists too, so it is added to once.
        return missing === 0n && before !== null
          ? []
          : [{ name: counter.name, by: int64(BigInt.asIntN(64, missing)) }];
      });
      if (wanted.length === 0) return [];
      const set = wanted.map(({ name }) => `${quoteName(name)} = ${quoteName(name)} + ?`).join(', ');
      const where = this.#keys
        .slice(0, key.length)
        .map((name) => `${name} = ?`)
        .join(' AND ');
      return [
        {
          query: `UPDATE ${this.#table} SET ${set} WHERE ${where}`,
          params: [...wanted.map(({ by }) => by), ...key],
        },
      ];
    });
  }

  async #present(row: CounterRow, options: WriterOptions): Promise<readonly RawCell[]> {
    const isRow = row.key.every((cell) => cell !== null);
    const present = isRow ? await this.#select(row.key, this.#counters, options) : undefined;
    if (present !== undefined || !this.hasStatics) return present ?? this.#counters.map(() => null);
    // Even if the row itself isn't there, its partition's static counters may be.
    const statics = this.#counters.filter(({ isStatic }) => isStatic);
    const counts = await this.#select(row.key.slice(0, this.#partitionColumns), statics, options);
    return this.#counters.map((counter) => counts?.[statics.indexOf(counter)] ?? null);
  }

  async #select(
    key: readonly RawCell[],
    counters: readonly Counter[],
    options: WriterOptions,
  ): Promise<readonly RawCell[] | undefined> {
    const where = this.#keys
      .slice(0, key.length)
      .map((name) => `${name} = ?`)
      .join(' AND ');
    const names = counters.map(({ name }) => quoteName(name));
    const page = await this.#session.rows(
      options.doing,
      `SELECT ${names.join(', ')} FROM ${this.#table} WHERE ${where} LIMIT 1`,
      key,
      options.signal,
    );
    const [present] = rowsOf(page, names.length);
    return present;
  }
}

interface Counter {
  readonly name: string;
  readonly at: number;
  readonly isStatic: boolean;
}
