import type { CqlPageColumn } from '../../../repository/cql-pages.ts';
import { elementsOf, type RawCell, sameCell } from '../rows.ts';

/** A row of one side, with when it was read: its TTLs count from then. */
export interface ReadRow {
  readonly cells: readonly RawCell[];
  readonly readAtMs: number;
}

export interface CompareOptions {
  /** What each cell of both sides is; the same on both. */
  readonly columns: readonly CqlPageColumn[];
  readonly table: string;
  /** Differences are named up to this many. */
  readonly most: number;
  /** Expiries that differ by no more than this are the same: a TTL is whole seconds, and writing takes time. */
  readonly ttlToleranceSeconds: number;
}

export interface Comparison {
  readonly rows: number;
  readonly cells: number;
  readonly differences: readonly string[];
}

/** Rows of one side that wait for their counterpart: more of them mean two tables that have little in common. */
const WAITING_AT_MOST = 50_000;

/**
 * Compares two tables row by row and cell by cell: bytes, times of writing and expiries. Rows meet by their key; both sides come in
 * the order of the ring, so that few wait for each other. A row or cell whose time was over by the time the second side was read
 * counts as equal wherever it is missing there.
 */
export async function compareRows(
  expected: AsyncIterable<ReadRow>,
  actual: AsyncIterable<ReadRow>,
  options: CompareOptions,
): Promise<Comparison> {
  const comparer = new Comparer(options);
  const [left, right] = [expected[Symbol.asyncIterator](), actual[Symbol.asyncIterator]()];
  for (let open = true; open && comparer.wantsMore; ) {
    const [one, other] = await Promise.all([left.next(), right.next()]);
    if (one.done !== true) comparer.takeExpected(one.value);
    if (other.done !== true) comparer.takeActual(other.value);
    open = one.done !== true || other.done !== true;
  }
  await Promise.all([left.return?.(), right.return?.()]);
  return comparer.end();
}

class Comparer {
  readonly #options: CompareOptions;
  readonly #keyAt: readonly number[];
  readonly #waitingExpected = new Map<string, ReadRow>();
  readonly #waitingActual = new Map<string, ReadRow>();
  readonly #differences: string[] = [];
  readonly #pairs: readonly {
    readonly valueAt: number;
    readonly timeAt: number | undefined;
    readonly ttlAt: number | undefined;
  }[];
  #rows = 0;
  #cells = 0;

  constructor(options: CompareOptions) {
    this.#options = options;
    const { columns } = options;
    const find = (name: string, kind: CqlPageColumn['kind']) => {
      const at = columns.findIndex((column) => column.kind === kind && column.name === name);
      return at < 0 ? undefined : at;
    };
    this.#keyAt = columns.flatMap(({ kind }, at) =>
      kind === 'partition_key' || kind === 'clustering' ? [at] : [],
    );
    this.#pairs = columns.flatMap(({ kind, name }, valueAt) =>
      kind === 'static' || kind === 'regular'
        ? [{ valueAt, timeAt: find(name, 'writetime'), ttlAt: find(name, 'ttl') }]
        : [],
    );
  }

  get wantsMore(): boolean {
    return (
      this.#differences.length < this.#options.most &&
      this.#waitingExpected.size < WAITING_AT_MOST &&
      this.#waitingActual.size < WAITING_AT_MOST
    );
  }

  takeExpected(row: ReadRow): void {
    this.#meet(row, this.#waitingActual, this.#waitingExpected, (other) => this.#compare(row, other));
  }

  takeActual(row: ReadRow): void {
    this.#meet(row, this.#waitingExpected, this.#waitingActual, (other) => this.#compare(other, row));
  }

  end(): Comparison {
    if (this.wantsMore) {
      for (const row of this.#waitingExpected.values()) {
        if (!this.#mayHaveExpired(row)) this.#differ(row, 'is missing');
      }
      for (const row of this.#waitingActual.values()) {
        if (!this.#isRestOfExpired(row)) this.#differ(row, 'is one too many');
      }
    } else if (this.#differences.length < this.#options.most) {
      this.#differences.push(`${this.#options.table}: the two sides have little in common`);
    }
    const differences = this.#differences.slice(0, this.#options.most);
    return { rows: this.#rows, cells: this.#cells, differences };
  }

  #meet(
    row: ReadRow,
    others: Map<string, ReadRow>,
    own: Map<string, ReadRow>,
    compare: (other: ReadRow) => void,
  ): void {
    const key = this.#keyOf(row);
    const other = others.get(key);
    if (other === undefined) own.set(key, row);
    else {
      others.delete(key);
      compare(other);
    }
  }

  #keyOf({ cells }: ReadRow): string {
    return this.#keyAt
      .map((at) => cells[at]?.toString('latin1').replaceAll(/[\\/]/g, '\\$&') ?? '\\n')
      .join('/');
  }

  #compare(expected: ReadRow, actual: ReadRow): void {
    this.#rows += 1;
    for (const { valueAt, timeAt, ttlAt } of this.#pairs) {
      this.#cells += 1;
      const wanted = expected.cells[valueAt] ?? null;
      const found = actual.cells[valueAt] ?? null;
      const name = this.#options.columns[valueAt]?.name ?? '';
      const expiries = ttlAt === undefined ? [] : expiriesOf(expected, ttlAt);
      // What has expired by now, or is about to, may be gone in whole or in part.
      if (expiries.some((at) => at !== undefined && at <= actual.readAtMs + this.#toleranceMs)) continue;
      if (!sameCell(wanted, found)) {
        this.#differ(expected, `column ${name} is ${shown(found)} instead of ${shown(wanted)}`);
        continue;
      }
      if (wanted === null) continue;
      if (timeAt !== undefined && !sameCell(expected.cells[timeAt] ?? null, actual.cells[timeAt] ?? null)) {
        this.#differ(
          expected,
          `column ${name} was written at ${timesOf(actual.cells[timeAt])} instead of ${timesOf(expected.cells[timeAt])}`,
        );
      }
      if (ttlAt !== undefined) this.#compareExpiries(expected, name, expiries, expiriesOf(actual, ttlAt));
    }
  }

  #compareExpiries(
    row: ReadRow,
    name: string,
    wanted: readonly (number | undefined)[],
    found: readonly (number | undefined)[],
  ): void {
    const length = Math.max(wanted.length, found.length);
    for (let index = 0; index < length; index += 1) {
      const [one, other] = [wanted[index], found[index]];
      if (one === undefined && other === undefined) continue;
      if (one !== undefined && other !== undefined && Math.abs(one - other) <= this.#toleranceMs) continue;
      this.#differ(row, `column ${name} expires ${at(other)} instead of ${at(one)}`);
      return;
    }
  }

  get #toleranceMs(): number {
    return this.#options.ttlToleranceSeconds * 1_000;
  }

  /** Every cell of it expires, and the first may have. */
  #mayHaveExpired(row: ReadRow): boolean {
    const now = Date.now() + this.#toleranceMs;
    return this.#pairs.some(
      ({ ttlAt }) =>
        ttlAt !== undefined && expiriesOf(row, ttlAt).some((at) => at !== undefined && at <= now),
    );
  }

  /** A partition of which only the static columns are left has a row without clustering key that wasn't there before. */
  #isRestOfExpired({ cells }: ReadRow): boolean {
    const clustering = this.#options.columns.findIndex(({ kind }) => kind === 'clustering');
    return clustering >= 0 && (cells[clustering] ?? null) === null && this.#hasTtl;
  }

  get #hasTtl(): boolean {
    return this.#options.columns.some(({ kind }) => kind === 'ttl');
  }

  #differ(row: ReadRow, what: string): void {
    if (this.#differences.length >= this.#options.most) return;
    const key = this.#keyAt.map((at) => shown(row.cells[at] ?? null)).join(', ');
    this.#differences.push(`${this.#options.table} row (${key}): ${what}`);
  }
}

/** When a cell, or each of its elements, expires; undefined: never. */
function expiriesOf({ cells, readAtMs }: ReadRow, ttlAt: number): readonly (number | undefined)[] {
  const cell = cells[ttlAt] ?? null;
  if (cell === null) return [];
  const ttls = cell.length === 4 ? [cell] : elementsOf(cell);
  return ttls.map((ttl) =>
    ttl === null || ttl.length < 4 ? undefined : readAtMs + ttl.readInt32BE(0) * 1_000,
  );
}

const SHOWN_BYTES = 16;

function shown(cell: RawCell): string {
  if (cell === null) return 'null';
  const hex = cell.subarray(0, SHOWN_BYTES).toString('hex');
  return `0x${hex}${cell.length > SHOWN_BYTES ? `… (${cell.length} bytes)` : ''}`;
}

function timesOf(cell: RawCell | undefined): string {
  if (cell === null || cell === undefined) return 'an unknown time';
  if (cell.length === 8) return `${cell.readBigInt64BE(0)} µs`;
  return elementsOf(cell)
    .map((time) => (time === null || time.length < 8 ? 'null' : String(time.readBigInt64BE(0))))
    .join('/');
}

function at(expiry: number | undefined): string {
  return expiry === undefined ? 'never' : `at ${new Date(expiry).toISOString()}`;
}
