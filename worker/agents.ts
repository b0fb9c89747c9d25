import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { NodeAgent, type NodeSettings } from '../engines/universe/agent/node-agent.ts';
import { HoldfastError, permanent } from '../model/errors.ts';
import { agentIdentity } from '../model/task-queue.ts';

/** A tablet server and its agent in this process. */
export interface ProvenNode {
  readonly settings: NodeSettings;
  /** The poller's identity, as Temporal shows it. */
  readonly identity: string;
}

const PROOF_MS = 15_000;

/** Errors that come from wrong settings: the process must not start. Other errors may pass, and every request proves the node again. */
const REFUSED: ReadonlySet<string> = new Set(['AGENT_WRONG_NODE', 'AGENT_MIXED_DIRECTORIES']);

/**
 * Proves, before this process polls, that each agent belongs to its node: its data directories are those of the tablet server at its
 * address, and no other agent on this machine has them. Where that can't be proved yet (the tablet server is down), it is logged, and
 * each request proves it.
 *
 * @throws HoldfastError `AGENT_WRONG_NODE`, `AGENT_MIXED_DIRECTORIES`, `AGENT_DOUBLED` (permanent)
 */
export async function proveNodes(nodes: readonly NodeSettings[]): Promise<readonly ProvenNode[]> {
  const proven: ProvenNode[] = [];
  const addressOf = new Map<string, string>();
  for (const settings of nodes) {
    const owner = await ownerOf(settings);
    const other = owner === undefined ? undefined : addressOf.get(owner);
    if (other !== undefined) throw doubled(settings.address, `the agent of ${other} in this process`);
    if (owner !== undefined) {
      await claim(settings.address, owner);
      addressOf.set(owner, settings.address);
    }
    proven.push({ settings, identity: agentIdentity(process.pid, hostname(), owner) });
  }
  return proven;
}

async function ownerOf(settings: NodeSettings): Promise<string | undefined> {
  try {
    return (await new NodeAgent(settings).provenRoots(AbortSignal.timeout(PROOF_MS))).owner;
  } catch (error) {
    if (error instanceof HoldfastError && REFUSED.has(error.code)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(
      `whose data directories the agent of ${settings.address} has is not proved yet: ${reason}\n`,
    );
    return undefined;
  }
}

/**
 * Keeps a second agent of the same tablet server off this machine, by a name in Linux's abstract socket namespace. The name leaves no
 * file, and disappears with the process however that ends. On other systems (macOS) nothing prevents a second agent.
 */
async function claim(address: string, owner: string): Promise<void> {
  if (process.platform !== 'linux') return;
  const server = createServer((socket) => socket.end(`${process.pid}\n`)).unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        'code' in error && error.code === 'EADDRINUSE'
          ? doubled(address, 'another process on this machine')
          : error,
      ),
    );
    server.listen(`\0holdfast-agent-${owner}`, resolve);
  });
}

function doubled(address: string, other: string): HoldfastError {
  return permanent(
    'AGENT_DOUBLED',
    `The data directories of the agent of ${address} have an agent already: ${other}`,
    'Run one agent for each tablet server: stop the other one, or correct its --tserver and --data-dirs.',
  );
}
