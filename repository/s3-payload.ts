import type { S3Client } from '@aws-sdk/client-s3';
import { base64ToHex } from './sha256.ts';

/**
 * Signs requests that carry the SHA-256 of their body with that hash. Without this the SDK hashes the body once more for
 * `x-amz-content-sha256`; its signer takes the header as it finds it.
 */
export function signWithKnownHashes(client: S3Client): void {
  client.middlewareStack.add(
    (next) => (call) => {
      const headers = headersOf(call.request);
      const checksum = headers['x-amz-checksum-sha256'];
      if (checksum !== undefined) headers['x-amz-content-sha256'] = base64ToHex(checksum);
      return next(call);
    },
    { step: 'build', name: 'signWithKnownHashes' },
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
