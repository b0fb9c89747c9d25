import { createHash } from 'node:crypto';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';

/** Reads an answer's body into one buffer of the announced size, hashing as it comes in. */
export async function readBody(
  answer: GetObjectCommandOutput,
  memory: (bytes: number) => Uint8Array = Buffer.allocUnsafe,
): Promise<{ readonly bytes: Uint8Array; readonly sha256: string }> {
  const sizeBytes = answer.ContentLength ?? 0;
  const buffer = memory(sizeBytes);
  const hash = createHash('sha256');
  let filled = 0;
  for await (const block of blocksOf(answer.Body)) {
    if (filled + block.length > sizeBytes) throw cut(`more than the announced ${sizeBytes} bytes`);
    buffer.set(block, filled);
    hash.update(block);
    filled += block.length;
  }
  if (filled < sizeBytes) throw cut(`${filled} of the announced ${sizeBytes} bytes`);
  return { bytes: buffer, sha256: hash.digest('hex') };
}

/** Looks to the error table like the broken connection that it is. */
function cut(received: string): Error {
  return Object.assign(new Error(`the answer has ${received}`), { code: 'ECONNRESET' });
}

/** In Node the SDK's body is a readable stream; its type also covers browsers. */
async function* blocksOf(body: GetObjectCommandOutput['Body']): AsyncGenerator<Uint8Array> {
  if (body === undefined) return;
  if (!(Symbol.asyncIterator in body)) throw new TypeError('the body of an S3 answer is not a Node stream');
  for await (const block of body) {
    if (!(block instanceof Uint8Array))
      throw new TypeError('the body of an S3 answer does not consist of bytes');
    yield block;
  }
}
