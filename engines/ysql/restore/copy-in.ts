import type { Connection, Submittable } from 'pg';
import { freeBuffer } from '../../../repository/free-memory.ts';
import type { Session } from '../server/session.ts';

/**
 * Runs `COPY … FROM STDIN` with the data from `blocks`, freeing the memory of each block. Returns the server's row count. When `blocks` throws, the
 * COPY fails on the server too, and that error is thrown.
 */
export async function copyIn(
  session: Session,
  statement: string,
  blocks: AsyncIterable<Buffer>,
  doing: string,
  signal: AbortSignal,
): Promise<number> {
  const writer = new CopyInWriter(statement);
  session.client.query(writer);
  try {
    await writer.accepted;
    await feed(writer, blocks);
    return await writer.finished;
  } catch (error) {
    throw signal.aborted ? signal.reason : await session.failure(error, doing);
  }
}

/** Sends all blocks. An error of the server is thrown when the statement finishes. */
async function feed(writer: CopyInWriter, blocks: AsyncIterable<Buffer>): Promise<void> {
  try {
    for await (const block of blocks) {
      if (writer.failed) return;
      await writer.write(block);
      freeBuffer(block);
    }
  } catch (error) {
    writer.fail();
    throw error;
  }
  writer.end();
}

const FRAME_HEADER_BYTES = 5;
const COPY_DATA = 'd'.charCodeAt(0);
/** Whole frames: CopyDone, and CopyFail with its reason. */
const COPY_DONE = Buffer.from('c\0\0\0\x04', 'latin1');
const FAIL_REASON = 'the data could not be read\0';
const COPY_FAIL = Buffer.from(
  `f\0\0\0${String.fromCharCode(4 + FAIL_REASON.length)}${FAIL_REASON}`,
  'latin1',
);

/** A query object for the client library that feeds the COPY sub-protocol and waits while the socket is full. */
class CopyInWriter implements Submittable {
  readonly accepted: Promise<void>;
  readonly finished: Promise<number>;
  readonly #statement: string;
  readonly #accept: () => void;
  readonly #finish: (rows: number) => void;
  readonly #reject: (error: Error) => void;
  #connection: Connection | undefined;
  #rows = 0;
  #failure: Error | undefined;

  constructor(statement: string) {
    this.#statement = statement;
    const accepted = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<number>();
    this.accepted = accepted.promise;
    this.finished = finished.promise;
    // They are awaited one after the other; until then a rejection must not count as unhandled.
    accepted.promise.catch(() => undefined);
    finished.promise.catch(() => undefined);
    this.#accept = accepted.resolve;
    this.#finish = finished.resolve;
    this.#reject = (error) => {
      accepted.reject(error);
      finished.reject(error);
    };
  }

  /** True when the server has given up. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Sends any run of bytes. Resolves when the socket has taken them all, so that the block can be freed. */
  async write(block: Buffer): Promise<void> {
    const stream = this.#connection?.stream;
    if (stream === undefined) return;
    const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
    header[0] = COPY_DATA;
    header.writeUInt32BE(block.length + 4, 1);
    stream.cork();
    stream.write(header);
    await new Promise<void>((resolve) => {
      // When the socket fails the statement fails too, which reports the error.
      stream.write(block, () => resolve());
      stream.uncork();
    });
  }

  end(): void {
    this.#connection?.stream.write(COPY_DONE);
  }

  fail(): void {
    this.#connection?.stream.write(COPY_FAIL);
  }

  submit(connection: Connection): void {
    this.#connection = connection;
    connection.query(this.#statement);
  }

  handleCopyInResponse(): void {
    this.#accept();
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.#rows = Number(/^COPY (\d+)$/.exec(message.text)?.[1] ?? 0);
  }

  handleReadyForQuery(): void {
    if (this.#failure === undefined) this.#finish(this.#rows);
    else this.#reject(this.#failure);
  }

  handleError(error: Error): void {
    this.#failure = error;
    this.#reject(error);
  }
}
