import { createHash } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { freeIfAlone } from '../free-memory.ts';

/** Reads the body of an answer into one buffer of the announced size, and hashes it as it comes in. */
export async function readBody(
  { Body: body, ContentLength: sizeBytes = 0 }: GetObjectCommandOutput,
  memory: (bytes: number) => Uint8Array = Buffer.allocUnsafe,
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
      filled += block.length;
      freeIfAlone(block);
      done();
    },
  });
  // A pipe, since iterating over the stream would copy the waiting bytes into a block of their own.
  if (body !== undefined) await pipeline(asReadable(body), collect);
  if (filled < sizeBytes) throw cut(`${filled} of the announced ${sizeBytes} bytes`);
  return { bytes, sha256: hash.digest('hex') };
}

/** Ends an answer whose body is not wanted, and its connection. */
export function discardBody({ Body: body }: GetObjectCommandOutput): void {
  if (body !== undefined) asReadable(body).destroy();
}

/** An error that the error table classifies as a broken connection, since that is what happened. */
function cut(received: string): Error {
  return Object.assign(new Error(`the answer has ${received}`), { code: 'ECONNRESET' });
}

/** In Node the SDK's body is a readable stream; its type also covers browsers. */
function asReadable(body: NonNullable<GetObjectCommandOutput['Body']>): Readable {
  if (body instanceof Readable) return body;
  throw new TypeError('the body of an S3 answer is not a Node stream');
}
