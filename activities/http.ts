import type { VerbContext } from '../engines/engine.ts';
import { permanent, transient } from '../model/errors.ts';
import type { HttpOptions } from '../model/pipeline.ts';

const REQUEST_TIMEOUT_MS = 30_000;

/**
 * Calls a webhook with a JSON body. 2xx counts as success. Throws `WEBHOOK_REFUSED` (transient for 408, 425, 429 and 5xx),
 * `WEBHOOK_UNREACHABLE` (transient), `WEBHOOK_BAD_URL` (permanent). The address may hold a token, so no message repeats it.
 */
export async function callWebhook(
  verb: VerbContext,
  request: HttpOptions,
  body: Readonly<Record<string, unknown>>,
): Promise<{ status: number }> {
  const url = 'literal' in request.url ? request.url.literal : await verb.secret(request.url);
  let response: Response;
  try {
    response = await fetch(url, {
      method: request.method,
      ...(request.method === 'GET'
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      signal: AbortSignal.any([verb.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      redirect: 'follow',
    });
    await response.arrayBuffer();
  } catch (error) {
    if (error instanceof TypeError && !URL.canParse(url)) {
      throw permanent('WEBHOOK_BAD_URL', 'the webhook address is not a URL', 'Write an http(s):// address.');
    }
    throw transient(
      'WEBHOOK_UNREACHABLE',
      `the webhook could not be reached (${reasonOf(error)})`,
      'Check the address and the network between the worker and it.',
    );
  }
  if (response.ok) return { status: response.status };
  const passing = response.status >= 500 || [408, 425, 429].includes(response.status);
  throw (passing ? transient : permanent)(
    'WEBHOOK_REFUSED',
    `the webhook answered ${response.status} ${response.statusText}`,
    'Check what it expects: Holdfast sends a JSON object (docs/plan-language.md, step http).',
  );
}

/** The code of the operating system or of undici, since their messages may hold the address. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.cause instanceof Error && 'code' in error.cause) return String(error.cause.code);
  return error.name;
}
