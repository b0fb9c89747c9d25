import type { ChunkSpec } from '../../model/backup.ts';
import { HoldfastError } from '../../model/errors.ts';
import type { CqlPageColumn } from '../../repository/backups/cql-pages.ts';
import { showValues } from '../show-values.ts';
import { int64 } from './bytes.ts';
import { parseType } from './cql-type.ts';
import { rangeBounds, selectStatement } from './dialect.ts';
import { cqlError, isReadFailure } from './errors.ts';
import { quoteName, quoteTable } from './identifiers.ts';
import type { RawPage } from './raw-pages.ts';
import { type RawCell, RowWalk } from './rows.ts';
import { type ScanRequest, scan, type TimedPage } from './scan.ts';
import type { TableSchema } from './schema.ts';
import type { CqlSession } from './session.ts';
import { jsonOf } from './text.ts';

/*
 * A partition behind more tombstones than the server reads over (`tombstone_failure_threshold`) fails every page that meets it, and would hide all
 * that follows it on the ring. So the range is split round it: what can be read is read, and what can't is named.
 */

/** Stands for rows that can't be read. */
export interface Unread {
  /** Names the partition. */
  readonly unread: string;
}

interface RangeRequest extends Omit<ScanRequest, 'statement' | 'params'> {
  readonly keyspace: string;
  readonly table: TableSchema;
  readonly selectors: readonly string[];
  /** The column that each selector yields. */
  readonly columns: readonly CqlPageColumn[];
  readonly range: Extract<ChunkSpec['range'], { readonly kind: 'hash' }>;
}

/** At most this many partitions of one chunk may be unreadable. With more, the whole chunk fails. */
const UNREAD_AT_MOST = 100;
const TRIES_OF_A_PROBE = 2;

/**
 * Pages of a range of partition hashes in the order of the ring, and between them what can't be read. Throws what `scan` throws, and also if
 * nothing can be read at all, which is no partition's fault.
 */
export async function* readRange(
  session: CqlSession,
  request: RangeRequest,
): AsyncGenerator<TimedPage | Unread> {
  const { product } = session.server;
  const bounds = rangeBounds(product, request.range.from, request.range.to);
  if (product !== 'cassandra') {
    yield* scan(session, { ...request, statement: statementOf(session, request), params: bounds });
    return;
  }
  const reader = new RangeReader(session, request);
  yield* reader.read(bounds[0].readBigInt64BE(0), bounds[1].readBigInt64BE(0));
}

function statementOf(session: CqlSession, { keyspace, table, selectors }: RangeRequest): string {
  return selectStatement(session.server.product, keyspace, table, selectors);
}

class RangeReader {
  readonly #session: CqlSession;
  readonly #request: RangeRequest;
  readonly #statement: string;
  #unread = 0;

  constructor(session: CqlSession, request: RangeRequest) {
    this.#session = session;
    this.#request = request;
    this.#statement = statementOf(session, request);
  }

  /** Reads the tokens from `first` to `last`, both included. */
  async *read(first: bigint, last: bigint): AsyncGenerator<TimedPage | Unread> {
    for (let from = first; from <= last; ) {
      const ends = new LastRow(this.#request.columns);
      try {
        yield* this.#scan(from, last, ends);
        return;
      } catch (error) {
        if (!(error instanceof HoldfastError) || !isReadFailure(error.cause)) throw error;
        if (ends.cells !== undefined) {
          // The failing page began within the partition of the last row, or after it.
          yield* this.#restOf(ends.cells, error);
          from = this.#tokenOf(ends.cells) + 1n;
          continue;
        }
        const readable = await this.#lastReadable(from, last);
        if (readable >= from) {
          yield* this.#scan(from, readable, ends);
          from = readable + 1n;
          continue;
        }
        yield await this.#giveUp(`the partition with token ${from}`, from, error);
        from += 1n;
      }
    }
  }

  async *#scan(from: bigint, to: bigint, ends: LastRow): AsyncGenerator<TimedPage> {
    const params = [int64(from), int64(to)];
    for await (const page of scan(this.#session, { ...this.#request, statement: this.#statement, params })) {
      ends.see(page);
      yield page;
    }
  }

  /**
   * Reads the rows of a partition that follow a given row, in their order, by slices. The first slice shares the longest prefix of the key with
   * that row.
   */
  async *#restOf(cells: readonly RawCell[], cause: HoldfastError): AsyncGenerator<TimedPage | Unread> {
    const { keyspace, table, selectors } = this.#request;
    const { partitionKey, clustering } = table;
    const at = (index: number) => cells[index] ?? null;
    if (clustering.length === 0 || at(partitionKey.length) === null) return;
    if (clustering.some((_, index) => at(partitionKey.length + index) === null)) {
      // In a compact table a row may lack a part of its key. CQL has no condition for the rows after it.
      yield await this.#giveUpBehind(cells, cause);
      return;
    }
    let isReported = false;
    for (let depth = clustering.length - 1; depth >= 0; depth -= 1) {
      const fixed = [...partitionKey, ...clustering.slice(0, depth)];
      const sign = clustering[depth]?.order === 'desc' ? '<' : '>';
      const conditions = [
        ...fixed.map(({ name }) => `${quoteName(name)} = ?`),
        `${quoteName(clustering[depth]?.name ?? '')} ${sign} ?`,
      ];
      const statement = `SELECT ${selectors.join(', ')} FROM ${quoteTable(keyspace, table.name)} WHERE ${conditions.join(' AND ')}`;
      const params = cells.slice(0, fixed.length + 1);
      try {
        yield* scan(this.#session, { ...this.#request, statement, params });
      } catch (error) {
        if (!(error instanceof HoldfastError) || !isReadFailure(error.cause)) throw error;
        if (!isReported) yield await this.#giveUpBehind(cells, cause);
        isReported = true;
        // The next slices lie behind the same tombstones, or beside them.
      }
    }
  }

  /** The last token up to which everything from `from` on can be read; the one before `from` if not even that token can. */
  async #lastReadable(from: bigint, last: bigint): Promise<bigint> {
    let [good, bad] = [from - 1n, last];
    if (await this.#canRead(from, last)) return last;
    while (bad - good > 1n) {
      const middle = good + (bad - good) / 2n;
      if (await this.#canRead(from, middle)) good = middle;
      else bad = middle;
    }
    return good;
  }

  async #canRead(from: bigint, to: bigint): Promise<boolean> {
    const { signal, doing, host } = this.#request;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        await this.#session.page(this.#statement, [int64(from), int64(to)], { pageRows: 1, host });
        return true;
      } catch (error) {
        if (!isReadFailure(error)) throw cqlError(error, doing, 'values', signal);
        if (attempt >= TRIES_OF_A_PROBE) return false;
      }
    }
  }

  /** Reports the rows after a row of a partition as unreadable. The row's key is a user's value, so only this worker's own log gets it. */
  async #giveUpBehind(cells: readonly RawCell[], cause: HoldfastError): Promise<Unread> {
    const token = this.#tokenOf(cells);
    const found = await this.#giveUp(`rows of the partition with token ${token}`, token, cause);
    showValues(() => `${found.unread}: those behind (${this.#shown(cells)})`);
    return found;
  }

  /** Names what can't be read. Throws `cause` if the server can't read the next token either, or if too much is unreadable. */
  async #giveUp(what: string, token: bigint, cause: HoldfastError): Promise<Unread> {
    const { keyspace, table, log } = this.#request;
    if (!(await this.#canRead(token + 1n, token + 1n))) throw cause;
    this.#unread += 1;
    if (this.#unread > UNREAD_AT_MOST) throw cause;
    const unread = `${what} could not be read: most often it lies behind too many tombstones`;
    log('rows could not be read, and the range is split round them', {
      keyspace,
      table: table.name,
      unread,
      error: cause.message,
    });
    return { unread };
  }

  #tokenOf(cells: readonly RawCell[]): bigint {
    return this.#session.nodes.tokenOf(cells.slice(0, this.#request.table.partitionKey.length));
  }

  #shown(cells: readonly RawCell[]): string {
    const { columns } = this.#request;
    return cells
      .map((cell, index) => {
        const { name = '', type = 'blob' } = columns[index] ?? {};
        return `${name} = ${JSON.stringify(jsonOf(parseType(type), cell, []))}`;
      })
      .join(', ');
  }
}

/** Copies the key of the last row, so that it outlives its page. */
class LastRow {
  cells: readonly RawCell[] | undefined;
  readonly #width: number;
  readonly #keys: number;

  constructor(columns: readonly CqlPageColumn[]) {
    this.#width = columns.length;
    this.#keys = columns.filter(({ kind }) => kind === 'partition_key' || kind === 'clustering').length;
  }

  see(page: RawPage): void {
    const row = new RowWalk(page, this.#width);
    while (row.next());
    this.cells = Array.from({ length: this.#keys }, (_, index) => {
      const cell = row.cell(index);
      return cell === null ? null : Buffer.from(cell);
    });
  }
}
