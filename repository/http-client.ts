import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { messageOf, permanent } from '../model/errors.ts';
import { CONNECTIONS, type Timeouts } from './connection.ts';

/** One request. */
export interface HttpCall {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  /** What is sent, in pieces, so that a large one is not copied. */
  readonly body?: readonly Uint8Array[];
  readonly signal?: AbortSignal | undefined;
}

/** Sends the requests of stores whose makers' own clients don't do: connections are kept, one on which nothing moves is given up, and a signal stops a call at once. */
export class HttpClient {
  readonly #isSecure: boolean;
  readonly #timeouts: Timeouts;
  readonly #agent: HttpAgent;

  constructor(endpoint: string, timeouts: Timeouts) {
    this.#isSecure = endpoint.startsWith('https:');
    this.#timeouts = timeouts;
    const settings = { keepAlive: true, maxSockets: CONNECTIONS };
    this.#agent = this.#isSecure ? new HttpsAgent(settings) : new HttpAgent(settings);
  }

  /** The answer, whatever its status, its body unread. */
  send(url: string, { method, headers, body = [], signal }: HttpCall): Promise<IncomingMessage> {
    const { connectMs, idleMs } = this.#timeouts;
    const size = body.reduce((sum, piece) => sum + piece.byteLength, 0);
    const length = method === 'POST' || method === 'PUT' ? { 'content-length': String(size) } : {};
    return new Promise<IncomingMessage>((resolve, reject) => {
      const settings = {
        method,
        agent: this.#agent,
        headers: { ...headers, ...length },
        ...(signal ? { signal } : {}),
      };
      const request = this.#isSecure ? httpsRequest(url, settings) : httpRequest(url, settings);
      const giveUp = (what: string) => () =>
        request.destroy(Object.assign(new Error(what), { code: 'ETIMEDOUT' }));
      request.once('socket', (socket) => {
        if (!socket.connecting) return;
        const connecting = setTimeout(giveUp('no connection'), connectMs);
        socket.once('connect', () => clearTimeout(connecting));
        request.once('close', () => clearTimeout(connecting));
      });
      request.setTimeout(idleMs, giveUp('nothing moved'));
      request.on('error', reject);
      request.once('response', resolve);
      for (const piece of body) request.write(piece);
      request.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Loads a package that Holdfast's own doesn't hold. Throws `STORE_NO_LIBRARY` (permanent). @param library name and version, as package.json has it under `peerDependencies` */
export async function optionalLibrary<T>(place: string, library: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw permanent(
      'STORE_NO_LIBRARY',
      `${place} needs the package ${library.replace(/@[^@]*$/, '')}, which is not installed here (${messageOf(error)}).`,
      `Install it beside Holdfast on every worker: npm install ${library} (with --global where Holdfast is global).`,
      error,
    );
  }
}
