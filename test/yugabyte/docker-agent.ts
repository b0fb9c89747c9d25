import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../model/errors.ts';
import { freePort } from '../../parts/ports.ts';
import type { Killable } from './cluster.ts';
import { docker } from './docker.ts';

const CHECKOUT = path.join(import.meta.dirname, '../..');
/** The Node that runs this, in a container. */
const IMAGE = `node:${process.versions.node}-bookworm-slim`;
const POLLS_WITHIN_MS = 3 * 60_000;

/**
 * Starts Holdfast's agent of a tablet server in a container of its own that has that one's volumes. Its network is the host's: from there it reaches
 * the tablet server by its address, and Temporal and the store on 127.0.0.1, which so are open to nobody else. The checkout is mounted read-only at its own path.
 *
 * @param tserver id of the tablet server's container
 * @param environment passed on by name, so that no secret stands among arguments
 * @throws Error with the end of its log where it doesn't poll within three minutes
 */
export async function startDockerAgent(
  tserver: string,
  address: string,
  environment: Readonly<Record<string, string>>,
): Promise<Killable> {
  const health = await freePort();
  const inside = { ...environment, HOLDFAST_STATE_DIR: '/tmp/holdfast' };
  const said = await docker(
    [
      ...['run', '--detach', '--network', 'host', '--volumes-from', tserver],
      ...['--volume', `${CHECKOUT}:${CHECKOUT}:ro`, '--workdir', CHECKOUT],
      ...Object.keys(inside).flatMap((name) => ['-e', name]),
      ...[IMAGE, 'node', 'cli/main.ts', 'worker', '--tserver', address, '--health', String(health)],
    ],
    { ...process.env, ...inside },
  );
  const id = said.trim();
  const stop = async () => void (await docker(['rm', '--force', id]));
  const untilPolls = async () => {
    const deadline = Date.now() + POLLS_WITHIN_MS;
    while (!(await answers(health))) {
      if (Date.now() > deadline) throw new Error(`the agent of ${address} doesn't poll`);
      await sleep(200);
    }
  };
  try {
    await untilPolls();
  } catch (error) {
    const log = await docker(['logs', '--tail', '40', id]).catch((why: unknown) => messageOf(why));
    await stop();
    throw new Error(`${messageOf(error)}: ${log}`);
  }
  return {
    kill9: async () => void (await docker(['kill', id])),
    restart: async () => {
      await docker(['start', id]);
      await untilPolls();
    },
    stop,
  };
}

async function answers(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/`)).ok;
  } catch {
    return false;
  }
}
