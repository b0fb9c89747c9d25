import type { S3Client } from '@aws-sdk/client-s3';
import { base64ToHex } from '../sha256.ts';

/**
 * Keeps the SDK from hashing bodies, since this store hashes each body itself, once:
 *
 * - The SDK's signer uses the SHA-256 of the body if a request has it in a header. Otherwise it would hash the body again for
 *   `x-amz-content-sha256`.
 * - The answer to a GET of a whole object brings the stored checksum. If the SDK's own `ChecksumMode` asked for it, the SDK would
 *   check it too, and fail with an error that looks like others.
 */
export function hashBodiesOnce(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => (call) => {
      const headers = headersOf(call.request);
      const checksum = headers['x-amz-checksum-sha256'];
      if (checksum !== undefined) headers['x-amz-content-sha256'] = base64ToHex(checksum);
      if (context.commandName === 'GetObjectCommand' && headers.range === undefined) {
        headers['x-amz-checksum-mode'] = 'ENABLED';
      }
      return next(call);
    },
    { step: 'build', name: 'hashBodiesOnce' },
  );
}

function headersOf(request: unknown): Record<string, string> {
  if (typeof request === 'object' && request !== null && 'headers' in request && isHeaders(request.headers)) {
    return request.headers;
  }
  throw new TypeError('the AWS SDK built a request without headers');
}

function isHeaders(headers: unknown): headers is Record<string, string> {
  return typeof headers === 'object' && headers !== null;
}
