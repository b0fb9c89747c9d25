import { createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import type { AzureLocation } from '../../model/pipeline.ts';
import type { SecretResolver, Timeouts } from '../connection.ts';
import { type HttpCall, HttpClient, optionalLibrary } from '../http-client.ts';
import { AzureFailure } from './errors.ts';

/** Of the REST API. Its answers stay as they are, whatever comes later. */
const API_VERSION = '2021-12-02';
/** As package.json has it under `peerDependencies`. */
const LIBRARY = '@azure/identity@4.14.1';
const SCOPE = 'https://storage.azure.com/.default';
/** A token is renewed so long before it ends. */
const TOKEN_MARGIN_MS = 300_000;

type Headers = Readonly<Record<string, string>>;

/** A call of the blob service. */
interface AzureCall extends Omit<HttpCall, 'headers'> {
  /** From the container on, encoded; empty for the container itself. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Headers;
}

/** What proves who calls: more headers for a request, or what is added to every query. */
interface Authorization {
  readonly headers?: (request: {
    readonly method: string;
    readonly url: URL;
    readonly headers: Headers;
  }) => Headers | Promise<Headers>;
  readonly query?: string;
}

/**
 * Calls the REST API of Azure Blob Storage, one request for one call. Microsoft's `@azure/identity` finds identities and renews tokens; a key or a signature needs no package. Their
 * storage client is not used: it limits how long a request may take and not how long nothing may move, and brings 29 packages of 39 MB.
 */
export class AzureClient {
  readonly #container: string;
  readonly #authorization: Authorization;
  readonly #http: HttpClient;

  private constructor(container: string, authorization: Authorization, timeouts: Timeouts) {
    this.#container = container;
    this.#authorization = authorization;
    this.#http = new HttpClient(container, timeouts);
  }

  /** Resolves the credentials. Makes no request yet. Throws `STORE_NO_LIBRARY` and `STORE_CREDENTIALS` (permanent), and what `secret` throws. */
  static async open(
    location: AzureLocation,
    secret: SecretResolver,
    timeouts: Timeouts,
  ): Promise<AzureClient> {
    const { account, container, endpoint = `https://${account}.blob.core.windows.net` } = location;
    const url = `${endpoint.replace(/\/+$/, '')}/${container}`;
    return new AzureClient(url, await authorizationOf(location, secret), timeouts);
  }

  /** The answer to a call, its body unread. Rejects with an `AzureFailure` for every status but 2xx. */
  async call({
    path,
    query = {},
    method,
    body,
    signal,
    headers: given,
  }: AzureCall): Promise<IncomingMessage> {
    const parameters = Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
    );
    const { headers: authorize, query: signature } = this.#authorization;
    const all = [...parameters, ...(signature === undefined ? [] : [signature])].join('&');
    const url = `${this.#container}${path}${all === '' ? '' : `?${all}`}`;
    const size = (body ?? []).reduce((sum, piece) => sum + piece.byteLength, 0);
    const headers = {
      ...{ ...given, 'x-ms-version': API_VERSION, 'x-ms-date': new Date().toUTCString() },
      ...(size === 0 ? {} : { 'content-length': String(size) }),
    };
    const proof = (await authorize?.({ method, url: new URL(url), headers })) ?? {};
    signal?.throwIfAborted();
    const request = { method, headers: { ...headers, ...proof }, signal, ...(body ? { body } : {}) };
    const answer = await this.#http.send(url, request);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const code = answer.headers['x-ms-error-code'];
    throw new AzureFailure(status, typeof code === 'string' ? code : undefined, await text(answer));
  }

  /** The text of an answer. */
  async text(call: AzureCall): Promise<string> {
    return text(await this.call(call));
  }

  close(): void {
    this.#http.close();
  }
}

async function authorizationOf(location: AzureLocation, secret: SecretResolver): Promise<Authorization> {
  const { account, credentials } = location;
  if (credentials === undefined) return byIdentity();
  if ('accountKey' in credentials) {
    const key = (await secret(credentials.accountKey)).trim();
    if (!/^[A-Za-z0-9+/]{40,}={0,2}$/.test(key)) throw noKey(location, 'not the key of a storage account');
    const bytes = Buffer.from(key, 'base64');
    return {
      headers: (request) => ({
        authorization: `SharedKey ${account}:${signatureOf(request, account, bytes)}`,
      }),
    };
  }
  const signature = (await secret(credentials.sasToken)).trim().replace(/^\?/, '');
  if (!/(^|&)sig=/.test(signature) || /[\s#?]/.test(signature))
    throw noKey(location, 'not a shared access signature');
  return { query: signature };
}

/** Signs a request, by https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key. */
function signatureOf(
  { method, url, headers }: { readonly method: string; readonly url: URL; readonly headers: Headers },
  account: string,
  key: Buffer,
): string {
  const of = (name: string) => headers[name] ?? '';
  const own = Object.entries(headers)
    .filter(([name]) => name.startsWith('x-ms-'))
    .map(([name, value]) => `${name}:${value}\n`)
    .sort();
  const parameters = [...url.searchParams].map(([name, value]) => `\n${name}:${value}`).sort();
  const fields = [
    ...[method, '', '', of('content-length'), of('content-md5'), of('content-type')],
    // No date, since `x-ms-date` is sent, and no conditions of time.
    ...['', '', of('if-match'), of('if-none-match'), '', of('range')],
    `${own.join('')}/${account}${url.pathname}${parameters.join('')}`,
  ];
  return createHmac('sha256', key).update(fields.join('\n')).digest('base64');
}

/** By what Microsoft's own chain finds: variables of the environment, a workload identity, a managed identity, `az login`. */
async function byIdentity(): Promise<Authorization> {
  const { DefaultAzureCredential } = await optionalLibrary(
    'A repository in Azure without `credentials`',
    LIBRARY,
    () => import('@azure/identity'),
  );
  const credential = new DefaultAzureCredential();
  let token = { token: '', expiresOnTimestamp: 0 };
  let asking: Promise<void> | undefined;
  return {
    headers: async () => {
      if (token.expiresOnTimestamp - TOKEN_MARGIN_MS < Date.now()) {
        asking ??= credential
          .getToken(SCOPE)
          .then((fresh) => {
            token = fresh;
          })
          .finally(() => {
            asking = undefined;
          });
        await asking;
      }
      return { authorization: `Bearer ${token.token}` };
    },
  };
}

function noKey({ account }: AzureLocation, what: string): HoldfastError {
  return permanent(
    'STORE_CREDENTIALS',
    `Can't open the storage account ${account}: what \`credentials\` refers to is ${what}.`,
    'Refer to the key or to the signature as the portal shows it, without `AccountKey=` or the address before it.',
  );
}
