import { setTimeout as sleep } from 'node:timers/promises';
import type { CaptureRhythm } from '../../../engines/ysql/archive/capture.ts';
import { archiveEnd } from '../../../engines/ysql/archive/open.ts';
import { lsnOf, parseLsn, type StoredTimeline } from '../../../model/archive.ts';
import { HoldfastError } from '../../../model/errors.ts';
import { readTimelines } from '../../../repository/archive/archive.ts';
import type { Store } from '../../../repository/store.ts';
import { query } from '../../support/sql.ts';
import { archiveContext, archiveOnce, archiveRequest, QUICK } from './archiver.ts';

const RETRY_AFTER_MS = 50;
const PATIENCE_MS = 300_000;

/** The product's own capture, running beside the source's writers; begins another timeline where one ends, as the workflow does. */
export class ProductArchive {
  readonly #url: string;
  readonly #store: Store;
  readonly #id: { readonly plan: string; readonly database: string };
  readonly #rhythm: CaptureRhythm;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #failure: unknown;
  /** Why attempts ended that were tried again. */
  readonly #retried: string[] = [];

  constructor(
    url: string,
    { store, path }: { readonly store: Store; readonly path: string },
    id: { readonly plan: string; readonly database: string },
    rhythm: CaptureRhythm = QUICK,
  ) {
    this.#url = url;
    this.#store = store;
    this.#id = id;
    this.#rhythm = rhythm;
    this.#running = this.#run(path).catch((error: unknown) => {
      this.#failure = error;
    });
  }

  async #run(path: string): Promise<void> {
    const { signal } = this.#stopping;
    const request = archiveRequest(this.#id.database, path, {}, this.#id.plan);
    while (!signal.aborted) {
      try {
        await archiveOnce(await archiveContext(this.#store, this.#url, request, { signal }), this.#rhythm);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof HoldfastError) || !error.transient) throw error;
        this.#retried.push(`${error.code}: ${error.message}`);
        await sleep(RETRY_AFTER_MS);
      }
    }
  }

  timelines(): Promise<readonly StoredTimeline[]> {
    return readTimelines(this.#store, this.#id);
  }

  /**
   * Waits until everything is stored that was committed when this was called. Returns the timeline that has it.
   *
   * @param commit commits something on YugabyteDB, whose stream says nothing while nothing is committed
   */
  async catchUp(commit?: () => Promise<void>): Promise<StoredTimeline> {
    const lsn = await this.#position();
    await commit?.();
    return await this.#until(`the archive has what was committed before ${lsn}`, async () => {
      const newest = (await this.timelines()).at(-1);
      return newest !== undefined && newest.end === undefined && archiveEnd(newest) >= lsn
        ? newest
        : undefined;
    });
  }

  /** Waits for the first timeline. */
  async begun(): Promise<void> {
    await this.#until('the archive has begun', async () => (await this.timelines()).at(-1));
  }

  async #position(): Promise<string> {
    const [server] = await query(this.#url, 'SELECT version() AS banner');
    if (String(server?.banner).includes('-YB-')) {
      const [now] = await query(this.#url, 'SELECT yb_get_current_hybrid_time_lsn()::text AS lsn');
      return lsnOf(BigInt(String(now?.lsn)));
    }
    const [place] = await query(this.#url, 'SELECT pg_current_wal_insert_lsn()::text AS lsn');
    return parseLsn(String(place?.lsn)) ?? '';
  }

  /** Waits until another timeline than this one has begun, for so long at most. */
  async renewed(timeline: string, forMs: number): Promise<boolean> {
    const deadline = Date.now() + forMs;
    while (Date.now() < deadline) {
      const newest = (await this.timelines()).at(-1);
      if (newest !== undefined && newest.timeline.id !== timeline && newest.end === undefined) return true;
      await sleep(RETRY_AFTER_MS);
    }
    return false;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #until<T>(what: string, find: () => Promise<T | undefined>): Promise<T> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const found = await find();
      if (found !== undefined) return found;
      if (Date.now() > deadline) {
        const told = (await this.timelines()).map(
          ({ timeline, segments, end }) =>
            `${timeline.id} with ${segments.length} segments to ${segments.at(-1)?.endLsn ?? 'nowhere'}${end === undefined ? '' : `, ended: ${end.code}`}`,
        );
        throw new Error(
          `still not true after ${PATIENCE_MS / 1000} s: ${what}; timelines: ${told.join('; ')}; ${this.#retried.length} attempts were tried again, the last ones: ${this.#retried.slice(-3).join('; ')}`,
        );
      }
      await sleep(RETRY_AFTER_MS);
    }
  }
}
