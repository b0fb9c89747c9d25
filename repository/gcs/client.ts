import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import type { GcsLocation } from '../../model/pipeline.ts';
import type { SecretResolver, Timeouts } from '../connection.ts';
import { type HttpCall, HttpClient, optionalLibrary } from '../http-client.ts';
import { GcsFailure } from './errors.ts';

const ENDPOINT = 'https://storage.googleapis.com';
/** As package.json has it under `peerDependencies`. */
const LIBRARY = 'google-auth-library@11.3.4';
const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_write';

/** A call of Cloud Storage's JSON API. */
export interface GcsCall extends Omit<HttpCall, 'headers'> {
  /** From the root of the endpoint on, encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: HttpCall['headers'];
}

/** Gives the headers that prove who calls; none for an emulator. */
type Authorize = (url: string) => Promise<Iterable<readonly [string, string]>>;

/**
 * Calls Cloud Storage's JSON API, one request for one call. Google's `google-auth-library` finds the credentials and renews tokens. Their storage client is not used:
 * none of its calls can be stopped by a signal, and an error of one read closes the connections of all others.
 */
export class GcsClient {
  readonly #endpoint: string;
  readonly #authorize: Authorize;
  readonly #http: HttpClient;

  private constructor(endpoint: string, authorize: Authorize, timeouts: Timeouts) {
    this.#endpoint = endpoint;
    this.#authorize = authorize;
    this.#http = new HttpClient(endpoint, timeouts);
  }

  /** Resolves the credentials. Makes no request yet. Throws `STORE_NO_LIBRARY` and `STORE_CREDENTIALS` (permanent), and what `secret` throws. */
  static async open(location: GcsLocation, secret: SecretResolver, timeouts: Timeouts): Promise<GcsClient> {
    const endpoint = (location.endpoint ?? ENDPOINT).replace(/\/+$/, '');
    // Emulators know nobody, and a token must not travel in clear.
    const isEmulator = endpoint.startsWith('http:') && location.credentials === undefined;
    const authorize: Authorize = isEmulator ? async () => [] : await authorization(location, secret);
    return new GcsClient(endpoint, authorize, timeouts);
  }

  /** The answer to a call, its body unread. Rejects with a `GcsFailure` for every status but 2xx. */
  async call(call: GcsCall): Promise<IncomingMessage> {
    const query = Object.entries(call.query ?? {}).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
    );
    const url = `${this.#endpoint}${call.path}${query.length === 0 ? '' : `?${query.join('&')}`}`;
    const headers = { ...call.headers, ...Object.fromEntries(await this.#authorize(url)) };
    call.signal?.throwIfAborted();
    const answer = await this.#http.send(url, { ...call, headers });
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    throw new GcsFailure(status, await text(answer));
  }

  /** The JSON of an answer. */
  async json(call: GcsCall): Promise<unknown> {
    const answer = await this.call(call);
    const body = await text(answer);
    try {
      return body === '' ? undefined : JSON.parse(body);
    } catch {
      throw new GcsFailure(answer.statusCode ?? 0, body);
    }
  }

  close(): void {
    this.#http.close();
  }
}

/** What `google-auth-library` makes of the plan's credentials or, where there are none, of the machine's own. */
async function authorization(location: GcsLocation, secret: SecretResolver): Promise<Authorize> {
  const { GoogleAuth, JWT, ExternalAccountClient } = await optionalLibrary(
    'A repository in Google Cloud Storage',
    LIBRARY,
    () => import('google-auth-library'),
  );
  const { bucket, credentials } = location;
  if (credentials === undefined) {
    const auth = new GoogleAuth({ scopes: [SCOPE] });
    return async (url) => (await auth.getRequestHeaders(url)).entries();
  }
  const key = keyOf(await secret(credentials));
  // Only the kinds that a plan can mean: a file of another kind may send the worker to addresses of its own.
  const client =
    key?.type === 'service_account'
      ? new JWT({ email: key.client_email, key: key.private_key, scopes: [SCOPE] })
      : key && ExternalAccountClient.fromJSON({ ...key, scopes: [SCOPE] });
  if (client === undefined || client === null) throw noKey(bucket);
  return async (url) => (await client.getRequestHeaders(url)).entries();
}

const googleKey = z.discriminatedUnion('type', [
  z.object({ type: z.literal('service_account'), client_email: z.string(), private_key: z.string() }),
  z.looseObject({
    type: z.literal('external_account'),
    audience: z.string(),
    subject_token_type: z.string(),
    token_url: z.string(),
  }),
]);

/** Undefined where it is no key. What stands in the secret is never shown, not even by an error of JSON. */
function keyOf(key: string): z.output<typeof googleKey> | undefined {
  try {
    return googleKey.parse(JSON.parse(key));
  } catch {
    return undefined;
  }
}

function noKey(bucket: string): HoldfastError {
  return permanent(
    'STORE_CREDENTIALS',
    `Can't open gs://${bucket}: what \`credentials\` refers to is neither the key of a service account nor the configuration of a workload identity pool.`,
    'Refer to the whole JSON file that Google made.',
  );
}
