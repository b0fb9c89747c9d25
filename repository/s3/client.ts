import { S3Client } from '@aws-sdk/client-s3';
import { defined } from '../../model/defined.ts';
import type { S3Location } from '../../model/pipeline.ts';
import { CONNECTIONS, type SecretResolver, type Timeouts } from '../connection.ts';
import { hashBodiesOnce } from './checksums.ts';

/** A client of the AWS SDK for a location. Resolves its credentials; makes no request yet. */
export async function createS3Client(
  location: S3Location,
  secret: SecretResolver,
  timeouts: Timeouts,
): Promise<S3Client> {
  const region = regionOf(location);
  const credentials = await credentialsOf(location, secret);
  const client = new S3Client({
    ...defined({ region, credentials, endpoint: location.endpoint }),
    // Few stores other than AWS have a DNS name for each bucket.
    forcePathStyle: location.forcePathStyle ?? location.endpoint !== undefined,
    // `retry.ts` retries whole operations, bodies included, by the classification in `s3/errors.ts` alone.
    maxAttempts: 1,
    // This store gives the checksum with each put and checks it on each get, so the SDK need not.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // The SDK opens a new connection for each request that waits for `100 Continue`, so none does.
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: timeouts.connectMs,
      socketTimeout: timeouts.idleMs,
      httpAgent: { keepAlive: true, maxSockets: CONNECTIONS },
      httpsAgent: { keepAlive: true, maxSockets: CONNECTIONS },
    },
  });
  hashBodiesOnce(client);
  return client;
}

/** A signature needs a region, even though most stores other than AWS ignore it. */
function regionOf(location: S3Location): string | undefined {
  return (
    location.region ??
    process.env.AWS_REGION ??
    process.env.AWS_DEFAULT_REGION ??
    (location.endpoint === undefined ? undefined : 'us-east-1')
  );
}

async function credentialsOf(location: S3Location, secret: SecretResolver) {
  const { credentials } = location;
  if (credentials === undefined) return undefined;
  const [accessKeyId, secretAccessKey, sessionToken] = await Promise.all([
    secret(credentials.accessKeyId),
    secret(credentials.secretAccessKey),
    credentials.sessionToken === undefined ? undefined : secret(credentials.sessionToken),
  ]);
  return { accessKeyId, secretAccessKey, ...defined({ sessionToken }) };
}
