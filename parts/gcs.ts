import path from 'node:path';
import { permanent } from '../model/errors.ts';
import { freePort } from './ports.ts';
import { startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';
import { executableOf, FAKE_GCS } from './tools.ts';

/** A running service that speaks the JSON API of Google Cloud Storage, with its objects in memory: a restart empties it. */
export type GcsEmulator = {
  /** URL of its root. It is `http:` and knows no credentials. */
  readonly endpoint: string;
  readonly host: string;
  readonly port: number;
  createBucket(name: string): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Starts fake-gcs-server on 127.0.0.1.
 *
 * @throws HoldfastError `TOOL_NEEDS_GO`, `TOOL_BUILD` or `SERVER_START`
 */
export async function startGcsEmulator(): Promise<GcsEmulator> {
  const command = await executableOf(FAKE_GCS);
  const scratch = await createScratchFolder('gcs');
  try {
    const host = '127.0.0.1';
    const port = await freePort();
    const endpoint = `http://${host}:${port}`;
    const buckets = `${endpoint}/storage/v1/b`;
    const server = await startServer({
      name: 'fake-gcs-server',
      command,
      args: [
        ...['-scheme', 'http', '-host', host, '-port', String(port), '-backend', 'memory'],
        ...['-public-host', `${host}:${port}`, '-external-url', endpoint, '-log-level', 'warn'],
      ],
      logFile: path.join(scratch.path, 'fake-gcs-server.log'),
      checkReady: async () => {
        await expectOk(await fetch(`${buckets}?project=test`));
      },
    });
    return {
      endpoint,
      host,
      port,
      async createBucket(name) {
        const init = { method: 'POST', body: JSON.stringify({ name }) };
        await expectOk(await fetch(`${buckets}?project=test`, init));
      },
      async stop() {
        await server.stop();
        await scratch.remove();
      },
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

async function expectOk(answer: Response): Promise<void> {
  const text = await answer.text();
  if (answer.ok) return;
  throw permanent(
    'GCS_EMULATOR',
    `fake-gcs-server answered ${answer.status}: ${text.slice(0, 300)}`,
    'See its log, and that its version is the one of parts/tools.ts.',
  );
}
