import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, messageOf } from '../../../model/errors.ts';
import type { BoundStatement } from '../bound-statement.ts';
import { cqlError, isAmbiguous, isOverload } from '../errors.ts';
import type { CqlSession } from '../session.ts';
import { type Claim, SETTLED_AFTER_MS } from './claim.ts';
import { bytesOfStatement, cutBySize } from './mutation-size.ts';

/** Cassandra warns above 5 KiB of a batch and refuses one above 50 KiB; YugabyteDB has no such bound. */
const BATCH_BYTES = 4_800;
const BATCH_STATEMENTS = 24;
/** The most memory that statements under way hold. Of rows of a megabyte, few are sent at once. */
const BYTES_UNDER_WAY = 12 * 1024 * 1024;
const TRIES = 12;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 8_000;

/** How and where a writer writes. */
export interface WriterOptions {
  /** Completes the sentence "Failed to …". */
  readonly doing: string;
  /** Where the statements write. */
  readonly keyspace: string;
  readonly signal: AbortSignal;
  /** Needed if another attempt may begin while this one still runs. */
  readonly claim?: Claim;
  log(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/**
 * Writes statements of one table in unlogged batches, many under way at once. Rows of a chunk follow each other on the ring, so a batch has few
 * owners. Retries, with pauses, whatever a retry can't harm. Everything else goes through `alone`.
 */
export class Writer {
  readonly #session: CqlSession;
  readonly #options: WriterOptions;
  readonly #underWay = new Set<Promise<void>>();
  #batch: BoundStatement[] = [];
  #batchBytes = 0;
  #bytesUnderWay = 0;
  #failure: unknown;

  constructor(session: CqlSession, options: WriterOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** Takes the statements of a row, which must be idempotent. Resolves when there is room for more. */
  async add(statements: readonly BoundStatement[]): Promise<void> {
    for (const statement of statements) {
      const bytes = bytesOfStatement(statement);
      if (this.#batchBytes + bytes > BATCH_BYTES || this.#batch.length >= BATCH_STATEMENTS)
        await this.#send();
      this.#batch.push(statement);
      this.#batchBytes += bytes;
    }
  }

  /**
   * Runs work of the caller's beside the batches. Resolves when it has begun and there is room for more.
   *
   * @param statements what it holds in memory
   */
  async alone(work: () => Promise<void>, statements: readonly BoundStatement[]): Promise<void> {
    await this.#begin(
      work,
      statements.reduce((sum, statement) => sum + bytesOfStatement(statement), 0),
    );
  }

  /** Sends what was added so far. Calls `done` when all of that has ended, even if it failed. */
  async cut(done: () => void): Promise<void> {
    await this.#send();
    const written = Promise.all(this.#underWay).then(done);
    // If one row is larger than what may be under way, the next page waits for it, so that one such row is in memory at a time.
    if (this.#bytesUnderWay > BYTES_UNDER_WAY) await written;
  }

  /** Resolves when everything is written. */
  async finish(): Promise<void> {
    await this.#send();
    await Promise.all(this.#underWay);
    this.#throwFailure();
  }

  /** Waits until nothing is under way, whether it fails or not. */
  async abandon(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #send(): Promise<void> {
    const batch = this.#batch;
    const bytes = this.#batchBytes;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    await this.#begin(() => writeUntilDone(this.#session, batch, this.#options), bytes);
  }

  async #begin(work: () => Promise<void>, bytes: number): Promise<void> {
    while (this.#underWay.size > 0 && this.#bytesUnderWay + bytes > BYTES_UNDER_WAY) {
      await Promise.race(this.#underWay);
    }
    this.#throwFailure();
    this.#bytesUnderWay += bytes;
    const watched: Promise<void> = work()
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#underWay.delete(watched);
        this.#bytesUnderWay -= bytes;
      });
    this.#underWay.add(watched);
    while (this.#underWay.size >= this.#session.nodes.writesInFlight) {
      await Promise.race(this.#underWay);
    }
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** Writes idempotent statements. Retries after a pause if the failure may pass; an overload halves the batch. */
export async function writeUntilDone(
  session: CqlSession,
  statements: readonly BoundStatement[],
  options: WriterOptions,
): Promise<void> {
  let pauseMs = FIRST_PAUSE_MS;
  for (let attempt = 1; ; attempt += 1) {
    options.signal.throwIfAborted();
    await options.claim?.check();
    try {
      await session.write(options.keyspace, statements, 'idempotent');
      return;
    } catch (error) {
      const failure = cqlError(error, options.doing, 'values', options.signal);
      const tooLarge =
        statements.length > 1 && error instanceof Error && /batch too large/i.test(error.message);
      if (!tooLarge && !(isPassing(failure) && attempt < triesOf(failure))) throw failure;
      if (statements.length > 1 && (tooLarge || isOverload(error))) {
        const middle = Math.ceil(statements.length / 2);
        if (!tooLarge) await sleep(pauseMs, undefined, { signal: options.signal });
        await writeUntilDone(session, statements.slice(0, middle), options);
        await writeUntilDone(session, statements.slice(middle), options);
        return;
      }
      await sleep(pauseMs, undefined, { signal: options.signal });
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }
}

/** Writes idempotent statements in their order, in as many batches as their size asks for. */
export async function writeInOrder(
  session: CqlSession,
  statements: readonly BoundStatement[],
  options: WriterOptions,
): Promise<void> {
  for (const batch of cutBySize(statements, bytesOfStatement)) await writeUntilDone(session, batch, options);
}

/**
 * Writes the statements of a row with lists, which must not be written twice. What is too large for one batch goes in several, one after another over one
 * node: the server makes the ids of elements from its clock, and another node's may be behind. After any failure of one of them `clear` takes away
 * what is there, and all begins anew.
 */
export async function writeLists(
  session: CqlSession,
  statements: readonly BoundStatement[],
  clear: () => Promise<void>,
  options: WriterOptions,
): Promise<void> {
  const [first = [], ...others] = cutBySize(statements, bytesOfStatement);
  if (others.length === 0) {
    const repair = async () => {
      await clear();
      return first;
    };
    return await writeOnce(session, first, 'once', repair, options);
  }
  let pauseMs = FIRST_PAUSE_MS;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const node = session.nodes.nodeFor(options.keyspace, first);
      for (const batch of [first, ...others]) {
        options.signal.throwIfAborted();
        await options.claim?.check();
        await session.write(options.keyspace, batch, 'once', node);
      }
      return;
    } catch (error) {
      const failure = cqlError(error, options.doing, 'values', options.signal);
      if (!isPassing(failure) || attempt >= triesOf(failure)) throw failure;
      options.log('a batch of a large list failed; the list is written anew', {
        doing: options.doing,
        error: messageOf(failure),
      });
      await sleep(Math.max(SETTLED_AFTER_MS, pauseMs), undefined, { signal: options.signal });
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      await clear();
    }
  }
}

/**
 * Writes what must not be written twice. After a failure whose outcome is unknown, waits until it is settled. Then `repair` finds out what is
 * there, and returns what is still to be written (undefined: nothing).
 */
export async function writeOnce(
  session: CqlSession,
  statements: readonly BoundStatement[],
  kind: 'counter' | 'once',
  repair: () => Promise<readonly BoundStatement[] | undefined>,
  options: WriterOptions,
): Promise<void> {
  let wanted: readonly BoundStatement[] | undefined = statements;
  let pauseMs = FIRST_PAUSE_MS;
  for (let attempt = 1; wanted !== undefined && wanted.length > 0; attempt += 1) {
    options.signal.throwIfAborted();
    await options.claim?.check();
    try {
      await session.write(options.keyspace, wanted, kind);
      return;
    } catch (error) {
      const failure = cqlError(error, options.doing, 'values', options.signal);
      if (!isPassing(failure) || attempt >= triesOf(failure)) throw failure;
      const ambiguous = isAmbiguous(error);
      options.log('a write that must not be repeated blindly failed', {
        doing: options.doing,
        ambiguous,
        error: messageOf(failure),
      });
      await sleep(ambiguous ? Math.max(SETTLED_AFTER_MS, pauseMs) : pauseMs, undefined, {
        signal: options.signal,
      });
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      if (ambiguous) wanted = await repair();
    }
  }
}

/** The statement itself may cause an error that the server answered, so that is retried less often than an error of the connection. */
function triesOf(failure: unknown): number {
  return failure instanceof HoldfastError ? (failure.maxEqual ?? TRIES) : TRIES;
}

function isPassing(failure: unknown): boolean {
  return failure instanceof HoldfastError && failure.transient;
}
