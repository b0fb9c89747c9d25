import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import { copyOut } from '../../engines/ysql/copy-out.ts';
import { readBuffer } from '../../engines/ysql/row-memory.ts';
import type { Session } from '../../engines/ysql/server/session.ts';

const BLOCK_BYTES = 1024 * 1024;

/** Lengths of rows: mostly short ones, some around the size of a block and of a read. */
const rowLengths = fc.array(
  fc.oneof(
    { weight: 20, arbitrary: fc.nat(600) },
    { weight: 2, arbitrary: fc.integer({ min: 200_000, max: 300_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: BLOCK_BYTES - 10, max: BLOCK_BYTES + 10 }) },
  ),
  { maxLength: 300 },
);
/** Lengths of what arrives at a time, over and over. */
const readLengths = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1_000, max: 262_144 })),
  { minLength: 1, maxLength: 10 },
);

describe('the text of a COPY', () => {
  test('comes as the server sent it, wherever reads and blocks end', async () => {
    await fc.assert(
      fc.asyncProperty(rowLengths, readLengths, fc.boolean(), async (lengths, reads, lends) => {
        const rows = lengths.map(rowOf);
        const arriving = piecesOf(
          Buffer.concat([...rows.map((row) => message('d', row)), copyEnd(rows.length)]),
          reads,
        );
        const { session, stream } = sessionReading(arriving, lends);
        const blocks: { data: Buffer; rows: number }[] = [];
        const reading = copyOut(session, 'COPY t TO STDOUT', 'read t', new AbortController().signal);
        let result = await reading.next();
        while (result.done !== true) {
          blocks.push({ data: Buffer.from(result.value.data), rows: result.value.rows });
          result = await reading.next();
        }
        expect(Buffer.concat(blocks.map(({ data }) => data)).equals(Buffer.concat(rows))).toBe(true);
        expect(result.value.rows).toBe(rows.length);
        expect(blocks.every(({ data, rows: held }) => data.length <= BLOCK_BYTES || held === 1)).toBe(true);
        expect(stream.listeners('data')).toEqual([stream.libraryListener]);
      }),
      { numRuns: 150 },
    );
  });

  test('that nobody wants to the end gives its memory back, however often', async () => {
    const rows = Array.from({ length: 12 }, (_, index) => rowOf(300_000, index));
    const sent = Buffer.concat(rows.map((row) => message('d', row)));
    for (let time = 0; time < 40; time++) {
      const { session } = sessionReading(piecesOf(sent, [100_000]), false);
      let held = 0;
      for await (const block of copyOut(
        session,
        'COPY t TO STDOUT',
        'read t',
        new AbortController().signal,
      )) {
        expect(block.data.equals(Buffer.concat(rows.slice(0, block.rows)))).toBe(true);
        expect(block.data.buffer === readBuffer.buffer).toBe(true);
        held = block.rows;
        break;
      }
      expect(held).toBe(3);
    }
  });
});

/** A connection whose server answers a COPY with `pieces`, each of which arrives by itself; what follows the rows goes to the library. */
function sessionReading(pieces: readonly Buffer[], lends: boolean) {
  const stream = new Stream();
  const client = {
    query(reader: CopyReader) {
      stream.reader = reader;
      reader.submit({ stream, query: () => void stream.deliver(pieces, lends) });
    },
  };
  return { session: { client } as unknown as Session, stream };
}

interface CopyReader {
  submit(connection: unknown): void;
  handleCommandComplete(message: { readonly text: string }): void;
  handleReadyForQuery(): void;
}

class Stream extends EventEmitter {
  reader: CopyReader | undefined;
  #isPaused = false;
  #rest = Buffer.alloc(0);

  constructor() {
    super();
    this.on('data', this.libraryListener);
  }

  readonly libraryListener = (chunk: Buffer): void => {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const [, text] = /^c\0{3}\x04C\0{3}.(COPY \d+)\0Z\0{3}\x05I$/s.exec(this.#rest.toString('latin1')) ?? [];
    if (text === undefined) return;
    this.reader?.handleCommandComplete({ text });
    this.reader?.handleReadyForQuery();
  };

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  async deliver(pieces: readonly Buffer[], lends: boolean): Promise<void> {
    for (const piece of pieces) {
      do await new Promise(setImmediate);
      while (this.#isPaused);
      this.emit('data', lends ? readBuffer.subarray(0, piece.copy(readBuffer)) : piece);
    }
  }
}

function copyEnd(rows: number): Buffer {
  const complete = message('C', Buffer.from(`COPY ${rows}\0`));
  return Buffer.concat([message('c', Buffer.alloc(0)), complete, message('Z', Buffer.from('I'))]);
}

function message(type: string, body: Buffer): Buffer {
  const header = Buffer.from(`${type}    `);
  header.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** Other rows hold other bytes, among them those that begin a message. */
function rowOf(length: number, index: number): Buffer {
  return Buffer.alloc(length, `d\0\0\0${String.fromCharCode(index % 256)}${index}`, 'latin1');
}

function piecesOf(all: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < all.length; ) {
    const length = lengths[pieces.length % lengths.length] ?? all.length;
    pieces.push(all.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
