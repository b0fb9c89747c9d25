import { messageOf, permanent, transient } from '../../model/errors.ts';

/** No universe's answer is bigger: 100,000 tablets take about 60 MB. */
const MAX_BYTES = 512 * 1024 * 1024;

/**
 * The body of a page of a master's or tablet server's web server.
 *
 * @throws HoldfastError `UNIVERSE_HTTP_UNAVAILABLE` (transient), `UNIVERSE_HTTP_REFUSED` (permanent: there is no such page)
 */
export async function fetchPage(url: string, signal: AbortSignal, timeoutMs = 30_000): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) });
    if (response.status >= 400 && response.status < 500) {
      throw permanent(
        'UNIVERSE_HTTP_REFUSED',
        `${url} answered ${response.status}`,
        'Check that the address is that of the web server of a master (7000) or tablet server (9000).',
      );
    }
    if (!response.ok) throw new Error(`status ${response.status}`);
    const body = await response.arrayBuffer();
    if (body.byteLength > MAX_BYTES) throw new Error(`an answer of ${body.byteLength} bytes`);
    return Buffer.from(body).toString('utf8');
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && 'code' in error && error.code === 'UNIVERSE_HTTP_REFUSED') throw error;
    const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : '';
    throw transient(
      'UNIVERSE_HTTP_UNAVAILABLE',
      `${url} can't be read: ${messageOf(error)}${cause}`,
      'Check that this web server runs and is reachable from this worker.',
      error,
    );
  }
}
