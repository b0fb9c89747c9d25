import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../model/errors.ts';
import type { Cell } from './bound-statement.ts';
import { cqlError, isOverload, isReadFailure } from './errors.ts';
import type { RawPage } from './raw-pages.ts';
import type { CqlSession } from './session.ts';

/** A statement to read page by page. */
export interface ScanRequest {
  readonly statement: string;
  readonly params: readonly Cell[];
  /** The most rows of a page. */
  readonly pageRows: number;
  /** The node to ask first: one that has the range. */
  readonly host?: string | undefined;
  /** Completes the sentence "Failed to …". */
  readonly doing: string;
  readonly signal: AbortSignal;
  log(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** A page, and when it was asked for. */
export interface TimedPage extends RawPage {
  readonly readAtMs: number;
}

/** Used until the size of rows is known: ten rows of 24 MiB are more than a worker may hold. */
export const FIRST_PAGE_ROWS = 1;
/** The most by which a page may grow over the one before, since later rows may be larger. */
export const PAGE_GROWTH = 4;
/** Memory bound of a page: rows of a megabyte come a few at a time. */
const PAGE_BYTES = 2 * 1024 * 1024;
const TRIES_OF_A_PAGE = 8;
/** A replica that can't read a single row says so at once, and will say so again. */
const TRIES_OF_A_FAILING_ROW = 3;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;

/**
 * The pages of a statement in order; the next is fetched while one is used. If the server can't answer in time, or fails over what it has to skip
 * (tombstones), asks for the same page again, after a pause and with fewer rows. Throws a transient error if not even a page of one row comes.
 */
export async function* scan(session: CqlSession, request: ScanRequest): AsyncGenerator<TimedPage> {
  const pages = new PageReader(session, request);
  let next: Promise<TimedPage> | undefined = pages.read(undefined);
  while (next !== undefined) {
    const page: TimedPage = await next;
    next = page.pageState === undefined ? undefined : pages.read(page.pageState);
    // Awaited in the next iteration. Until then this prevents an unhandled rejection.
    next?.catch(() => undefined);
    if (page.rows > 0) yield page;
    await session.nodes.limit.pay(page.rows, request.signal);
  }
}

class PageReader {
  readonly #session: CqlSession;
  readonly #request: ScanRequest;
  #pageRows: number;
  /** Lowered when the server is overloaded, then raised again slowly. */
  #maxRows: number;

  constructor(session: CqlSession, request: ScanRequest) {
    this.#session = session;
    this.#request = request;
    this.#maxRows = request.pageRows;
    this.#pageRows = Math.min(FIRST_PAGE_ROWS, request.pageRows);
  }

  async read(pageState: string | undefined): Promise<TimedPage> {
    const { statement, params, host, doing, signal, log } = this.#request;
    let pauseMs = FIRST_PAUSE_MS;
    let failures = 0;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      const pageRows = this.#pageRows;
      const readAtMs = Date.now();
      try {
        // The first attempt asks the preferred node; later ones may go to any.
        const place = attempt === 1 ? { host } : {};
        const page = await this.#session.page(statement, params, { pageRows, pageState, ...place });
        this.#adapt(page);
        return { ...page, readAtMs };
      } catch (error) {
        const isFailure = isReadFailure(error);
        if (isFailure && pageRows === 1) failures += 1;
        const hopeless = pageRows === 1 && (attempt >= TRIES_OF_A_PAGE || failures >= TRIES_OF_A_FAILING_ROW);
        const failure = cqlError(error, `${doing}, ${pageRows} rows at a time`, 'values', signal);
        if (hopeless || attempt >= 2 * TRIES_OF_A_PAGE || !isTransient(failure)) throw failure;
        if (isOverload(error)) this.#shrink(isFailure ? 8 : 2);
        log('a page of rows did not come; asking again', {
          doing,
          pageRows: this.#pageRows,
          pauseMs,
          error: messageOf(failure),
        });
        await sleep(pauseMs, undefined, { signal });
        if (!isFailure) pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      }
    }
  }

  /** Sets the next page's rows to as many as fit `PAGE_BYTES`. */
  #adapt(page: RawPage): void {
    if (page.rows === 0) return;
    const fitting = Math.floor((PAGE_BYTES * page.rows) / Math.max(1, page.body.length));
    this.#maxRows = Math.min(this.#request.pageRows, this.#maxRows + Math.ceil(this.#maxRows / 8));
    const grown = PAGE_GROWTH * this.#pageRows;
    this.#pageRows = Math.max(1, Math.min(fitting, grown, this.#maxRows));
  }

  #shrink(times: number): void {
    this.#pageRows = Math.max(1, Math.floor(this.#pageRows / times));
    this.#maxRows = this.#pageRows;
  }
}

function isTransient(failure: unknown): boolean {
  return (
    typeof failure === 'object' && failure !== null && 'transient' in failure && failure.transient === true
  );
}
