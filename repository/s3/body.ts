import { Readable } from 'node:stream';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';

/** The body of an answer. In Node the SDK's body is a readable stream; its type also covers browsers. */
export function bodyOf({ Body: body }: GetObjectCommandOutput): Readable | undefined {
  if (body === undefined || body instanceof Readable) return body;
  throw new TypeError('the body of an S3 answer is not a Node stream');
}
