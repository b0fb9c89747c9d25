import { createHash } from 'node:crypto';
import { formatAmount } from '../../../model/amounts.ts';
import type { CqlPageColumn } from '../../../repository/backups/cql-pages.ts';
import { showValues } from '../../show-values.ts';
import { type CqlType, isMultiCell, parseType } from '../cql-type.ts';
import { elementsOf, type RawCell, sameCell } from '../rows.ts';
import { ttlsIn } from '../ttl.ts';
import { differenceInElements } from './compare-elements.ts';

/** A row of one side, and when it was read, from which its TTLs count. */
export interface ReadRow {
  readonly cells: readonly RawCell[];
  readonly readAtMs: number;
  /** Of an expected row: when its last cell expires, milliseconds since 1970. Absent: never. */
  readonly endsAtMs?: number | undefined;
  /** The same for its partition's static columns. Also absent if it has none. */
  readonly staticsEndAtMs?: number | undefined;
}

interface CompareOptions {
  /** The columns of a row's cells, the same on both sides. */
  readonly columns: readonly CqlPageColumn[];
  readonly table: string;
  /** The most differences that are named. */
  readonly most: number;
  /** How much later a cell of the actual side may expire and still count as equal, since a TTL counts from when it is written. */
  readonly ttlToleranceSeconds: number;
  /** The actual side may have any number of rows that the expected side lacks. */
  readonly othersAllowed?: boolean;
}

/** What a comparison found. `rows` and `cells` count those that had a counterpart. */
export interface Comparison {
  readonly rows: number;
  readonly cells: number;
  readonly differences: readonly string[];
}

/** TTLs are whole seconds, and the nodes' clocks differ from the worker's. So what expires this close to the look may be there or not. */
const CLOCKS_DIFFER_MS = 5_000;
/** The most rows of one side that wait for their counterpart. More mean that the two tables have little in common. */
const WAITING_AT_MOST = 50_000;
const WAITING_BYTES_AT_MOST = 64 * 1024 * 1024;
/** The most expected rows that are looked for at once if the actual side may have others between them. */
const WINDOW_ROWS = 10_000;
const WINDOW_BYTES = 32 * 1024 * 1024;

/**
 * Compares two tables row by row and cell by cell: bytes, write times and expiries. Rows are matched by their key. Both sides come in the order of
 * the ring, so few rows wait for their counterpart. A row may be missing only if its last cell had expired when the actual side was read, and a
 * cell only if it had expired itself.
 */
export async function compareRows(
  expected: AsyncIterable<ReadRow>,
  actual: AsyncIterable<ReadRow>,
  options: CompareOptions,
): Promise<Comparison> {
  const comparer = new Comparer(options);
  const [left, right] = [expected[Symbol.asyncIterator](), actual[Symbol.asyncIterator]()];
  const open = { left: true, right: true };
  while ((open.left || open.right) && comparer.wantsMore) {
    // Both streams are read in step. If other rows may lie between, up to a window of expected rows wait for the actual ones.
    const [takesLeft, takesRight] = comparer.turns(open);
    const [one, other] = await Promise.all([
      takesLeft ? left.next() : undefined,
      takesRight ? right.next() : undefined,
    ]);
    if (one?.done === true) open.left = false;
    if (other?.done === true) open.right = false;
    comparer.take(
      one?.done === true ? undefined : one?.value,
      other?.done === true ? undefined : other?.value,
    );
  }
  await Promise.all([left.return?.(), right.return?.()]);
  return comparer.end();
}

/** Where a row has a column's value, write time and TTL. */
interface Pair {
  readonly valueAt: number;
  readonly timeAt: number | undefined;
  readonly ttlAt: number | undefined;
  /** The column's type if each element is a cell of its own. */
  readonly perElement: CqlType | undefined;
  readonly isStatic: boolean;
}

/** Rows of one side without a counterpart so far, by key. */
class Waiting {
  bytes = 0;
  readonly #rows = new Map<string, ReadRow>();

  get size(): number {
    return this.#rows.size;
  }

  get isFull(): boolean {
    return this.size >= WAITING_AT_MOST || this.bytes >= WAITING_BYTES_AT_MOST;
  }

  put(key: string, row: ReadRow): void {
    // Copied, since the row is kept longer than the page that its cells are cut from.
    const cells = row.cells.map((cell) => (cell === null ? null : Buffer.from(cell)));
    this.#rows.set(key, { ...row, cells });
    this.bytes += bytesOf(row);
  }

  take(key: string): ReadRow | undefined {
    const row = this.#rows.get(key);
    if (row !== undefined) {
      this.#rows.delete(key);
      this.bytes -= bytesOf(row);
    }
    return row;
  }

  dropOldest(): void {
    const [oldest] = this.#rows.keys();
    if (oldest !== undefined) this.take(oldest);
  }

  all(): Iterable<ReadRow> {
    return this.#rows.values();
  }
}

function bytesOf({ cells }: ReadRow): number {
  return cells.reduce((sum, cell) => sum + (cell?.length ?? 0), 0);
}

class Comparer {
  readonly #options: CompareOptions;
  readonly #keyAt: readonly number[];
  readonly #clusteringAt: readonly number[];
  readonly #expected = new Waiting();
  readonly #actual = new Waiting();
  readonly #differences: string[] = [];
  readonly #pairs: readonly Pair[];
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
    this.#clusteringAt = columns.flatMap(({ kind }, at) => (kind === 'clustering' ? [at] : []));
    this.#pairs = columns.flatMap(({ kind, name, type }, valueAt) => {
      if (kind !== 'static' && kind !== 'regular') return [];
      const parsed = parseType(type);
      const perElement = isMultiCell(parsed) ? parsed : undefined;
      const places = { valueAt, timeAt: find(name, 'writetime'), ttlAt: find(name, 'ttl') };
      return [{ ...places, perElement, isStatic: kind === 'static' }];
    });
  }

  get wantsMore(): boolean {
    if (this.#differences.length >= this.#options.most) return false;
    return !this.#expected.isFull && (this.#options.othersAllowed === true || !this.#actual.isFull);
  }

  turns(open: { readonly left: boolean; readonly right: boolean }): readonly [boolean, boolean] {
    if (this.#options.othersAllowed !== true) return [open.left, open.right];
    const isFull = this.#expected.size >= WINDOW_ROWS || this.#expected.bytes >= WINDOW_BYTES;
    return open.left && !isFull ? [true, false] : [false, open.right];
  }

  /** Takes a row of each side that has one. */
  take(expected: ReadRow | undefined, actual: ReadRow | undefined): void {
    const [one, other] = [expected, actual].map((row) => (row === undefined ? undefined : this.#keyOf(row)));
    if (actual !== undefined && this.#options.othersAllowed === true) this.#takeStatics(actual, other ?? '');
    if (expected !== undefined && actual !== undefined && one === other) {
      this.#compare(expected, actual);
      return;
    }
    if (expected !== undefined) this.#takeExpected(expected, one ?? '');
    if (actual !== undefined) this.#takeActual(actual, other ?? '');
  }

  #takeExpected(row: ReadRow, key: string): void {
    const other = this.#actual.take(key);
    if (other === undefined) this.#expected.put(key, row);
    else this.#compare(row, other);
  }

  /**
   * Compares the expected row of a partition that has only static columns. If the actual side has rows in that partition, they carry its static
   * columns.
   */
  #takeStatics(row: ReadRow, key: string): void {
    if (this.#clusteringAt.length === 0) return;
    const clustering = new Set(this.#clusteringAt);
    const bareKey = this.#keyOf({
      ...row,
      cells: row.cells.map((cell, at) => (clustering.has(at) ? null : cell)),
    });
    const bare = bareKey === key ? undefined : this.#expected.take(bareKey);
    if (bare === undefined) return;
    this.#rows += 1;
    for (const pair of this.#pairsOf(bare, row).filter(({ isStatic }) => isStatic))
      this.#comparePair(pair, bare, row);
  }

  #takeActual(row: ReadRow, key: string): void {
    const other = this.#expected.take(key);
    if (other !== undefined) this.#compare(other, row);
    else {
      this.#actual.put(key, row);
      // The oldest may be a row of others: if it had a counterpart, the full window would contain it.
      if (this.#options.othersAllowed === true && this.#actual.isFull) this.#actual.dropOldest();
    }
  }

  end(): Comparison {
    if (this.wantsMore) {
      const now = Date.now();
      for (const row of this.#expected.all()) {
        if (!hasEnded(row.endsAtMs, now)) this.#differ(row, 'is missing');
      }
      for (const row of this.#options.othersAllowed === true ? [] : this.#actual.all()) {
        if (!this.#isRestOfExpired(row)) this.#differ(row, 'is one too many');
      }
    } else if (this.#differences.length < this.#options.most) {
      this.#differences.push(`${this.#options.table}: the two sides have little in common`);
    }
    const differences = this.#differences.slice(0, this.#options.most);
    return { rows: this.#rows, cells: this.#cells, differences };
  }

  #keyOf({ cells }: ReadRow): string {
    return this.#keyAt
      .map((at) => cells[at]?.toString('latin1').replaceAll(/[\\/]/g, '\\$&') ?? '\\n')
      .join('/');
  }

  #compare(expected: ReadRow, actual: ReadRow): void {
    this.#rows += 1;
    for (const pair of this.#pairsOf(expected, actual)) {
      this.#cells += 1;
      this.#comparePair(pair, expected, actual);
    }
  }

  /**
   * The columns to compare. A row, or static columns, that had expired as a whole were not written, so what is there instead is the target's own.
   */
  #pairsOf({ endsAtMs, staticsEndAtMs }: ReadRow, { readAtMs }: ReadRow): readonly Pair[] {
    if (this.#options.othersAllowed !== true) return this.#pairs;
    const isOver = { row: hasEnded(endsAtMs, readAtMs), statics: hasEnded(staticsEndAtMs, readAtMs) };
    return this.#pairs.filter(({ isStatic }) => !(isStatic ? isOver.statics : isOver.row));
  }

  #comparePair({ valueAt, timeAt, ttlAt, perElement }: Pair, expected: ReadRow, actual: ReadRow): void {
    const wanted = expected.cells[valueAt] ?? null;
    const found = actual.cells[valueAt] ?? null;
    const name = this.#options.columns[valueAt]?.name ?? '';
    const expiries = expiriesOf(expected, ttlAt, perElement !== undefined);
    const over = expiries.filter((each) => hasEnded(each, actual.readAtMs));
    // What has expired by now may be gone; of a collection, some elements.
    if (over.length > 0 && perElement !== undefined) {
      const side = ({ cells }: ReadRow, ends: readonly (number | undefined)[]) => ({
        value: cells[valueAt] ?? null,
        expiries: ends,
        times: timeAt === undefined ? null : (cells[timeAt] ?? null),
      });
      const difference = differenceInElements(
        perElement,
        side(expected, expiries),
        side(actual, expiriesOf(actual, ttlAt, true)),
        {
          isOver: (expiry) => hasEnded(expiry, actual.readAtMs),
          isSameExpiry: (one, other) => this.#isSameExpiry(one, other),
        },
      );
      if (difference !== undefined) this.#differ(expected, `column ${name} ${difference}`);
      return;
    }
    if (over.length > 0 && found === null) return;
    if (!sameCell(wanted, found)) {
      const sizes = `${sizeOf(found)} instead of ${sizeOf(wanted)}`;
      const values = `${shown(found)} instead of ${shown(wanted)}`;
      this.#differ(expected, `column ${name} holds another value, ${sizes}`, values);
      return;
    }
    if (wanted === null) return;
    if (timeAt !== undefined && !sameCell(expected.cells[timeAt] ?? null, actual.cells[timeAt] ?? null)) {
      this.#differ(
        expected,
        `column ${name} was written at ${timesOf(actual.cells[timeAt])} instead of ${timesOf(expected.cells[timeAt])}`,
      );
    }
    if (ttlAt !== undefined) {
      this.#compareExpiries(expected, name, expiries, expiriesOf(actual, ttlAt, perElement !== undefined));
    }
  }

  #compareExpiries(
    row: ReadRow,
    name: string,
    wanted: readonly (number | undefined)[],
    found: readonly (number | undefined)[],
  ): void {
    for (let index = 0; index < Math.max(wanted.length, found.length); index += 1) {
      const [one, other] = [wanted[index], found[index]];
      if (this.#isSameExpiry(one, other)) continue;
      this.#differ(row, `column ${name} expires ${at(other)} instead of ${at(one)}`);
      return;
    }
  }

  /** A TTL counts from when it is written, so what is found may expire later than what is wanted, but not earlier. */
  #isSameExpiry(wanted: number | undefined, found: number | undefined): boolean {
    if (wanted === undefined || found === undefined) return wanted === found;
    const lateMs = found - wanted;
    return lateMs >= -CLOCKS_DIFFER_MS && lateMs <= 1_000 * this.#options.ttlToleranceSeconds;
  }

  /** A partition of which only the static columns are left has a row without clustering key, which wasn't there before. */
  #isRestOfExpired({ cells }: ReadRow): boolean {
    const clustering = this.#options.columns.findIndex(({ kind }) => kind === 'clustering');
    return clustering >= 0 && (cells[clustering] ?? null) === null && this.#hasTtl;
  }

  get #hasTtl(): boolean {
    return this.#options.columns.some(({ kind }) => kind === 'ttl');
  }

  /** Notes a difference. A hash of its key names the row: keys and values are only for this worker's own output. */
  #differ(row: ReadRow, what: string, values = ''): void {
    if (this.#differences.length >= this.#options.most) return;
    const name = createHash('sha256').update(this.#keyOf(row), 'latin1').digest('hex').slice(0, 12);
    const difference = `${this.#options.table} row ${name}: ${what}`;
    showValues(() => {
      const key = this.#keyAt.map((at) => shown(row.cells[at] ?? null)).join(', ');
      return `${difference}; its key is (${key})${values === '' ? '' : `; ${values}`}`;
    });
    this.#differences.push(difference);
  }
}

/** Whether it had expired, or may have, when the actual side was read. */
function hasEnded(endsAtMs: number | undefined, nowMs: number): boolean {
  return endsAtMs !== undefined && endsAtMs <= nowMs + CLOCKS_DIFFER_MS;
}

/** When a cell, or each of its elements, expires; undefined: never. */
function expiriesOf(
  { cells, readAtMs }: ReadRow,
  ttlAt: number | undefined,
  perElement: boolean,
): readonly (number | undefined)[] {
  if (ttlAt === undefined) return [];
  return ttlsIn(cells[ttlAt] ?? null, perElement).map((ttl) =>
    ttl === undefined ? undefined : readAtMs + ttl * 1_000,
  );
}

const SHOWN_BYTES = 16;

function shown(cell: RawCell): string {
  if (cell === null) return 'null';
  const hex = cell.subarray(0, SHOWN_BYTES).toString('hex');
  return `0x${hex}${cell.length > SHOWN_BYTES ? `… (${cell.length} bytes)` : ''}`;
}

function sizeOf(cell: RawCell): string {
  return cell === null ? 'null' : formatAmount(cell.length, 'byte');
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
