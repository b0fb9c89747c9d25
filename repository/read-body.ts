import { createHash, type Hash } from 'node:crypto';
import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { freeIfAlone } from './free-memory.ts';
import { damaged } from './store-errors.ts';

/** What was read of an object, and what is wrong with it, if anything is: a clause. */
export interface ReadObject {
  readonly bytes: Uint8Array;
  readonly difference: string | undefined;
}

/** What a read returned. Damage is told only if a second read shows it too: the bytes may have changed on the way, which is no damage in the store. */
export async function readTwiceIfDamaged(
  read: () => Promise<ReadObject>,
  key: string,
  description: string,
): Promise<Uint8Array> {
  const first = await read();
  if (first.difference === undefined) return first.bytes;
  const second = await read();
  if (second.difference === undefined) return second.bytes;
  throw damaged(key, description, second.difference);
}

/**
 * Reads the body of an answer into one buffer of the announced size, and hashes it as it comes in.
 *
 * @param other another hash that the bytes go into
 */
export async function readBody(
  body: Readable | undefined,
  sizeBytes: number,
  memory: (bytes: number) => Uint8Array = Buffer.allocUnsafe,
  other?: Hash,
): Promise<{ readonly bytes: Uint8Array; readonly sha256: string }> {
  const bytes = memory(sizeBytes);
  const hash = createHash('sha256');
  let filled = 0;
  const collect = new Writable({
    write(block: Buffer, _encoding, done) {
      if (filled + block.length > sizeBytes) {
        done(cut(`more than the announced ${sizeBytes} bytes`));
        return;
      }
      bytes.set(block, filled);
      hash.update(block);
      other?.update(block);
      filled += block.length;
      freeIfAlone(block);
      done();
    },
  });
  // A pipe, since iterating over the stream would copy the waiting bytes into a block of their own.
  if (body !== undefined) await pipeline(body, collect);
  if (filled < sizeBytes) throw cut(`${filled} of the announced ${sizeBytes} bytes`);
  return { bytes, sha256: hash.digest('hex') };
}

/** An error that the error tables classify as a broken connection, since that is what happened. */
function cut(received: string): Error {
  return Object.assign(new Error(`the answer has ${received}`), { code: 'ECONNRESET' });
}
