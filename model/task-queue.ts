import { defined } from './defined.ts';

/** The task queue of Holdfast's workers. */
export const DEFAULT_TASK_QUEUE = 'holdfast';

/** Task queue of read points. It is separate, so that a held read point never takes a slot from the chunks. */
export const readPointQueue = (taskQueue: string): string => `${taskQueue}.read-points`;

/** Task queue of prunes with credentials of their own. Only a worker that has these polls it. */
export const pruneQueue = (taskQueue: string): string => `${taskQueue}.prune`;

/** Task queue of a tablet server's agent. @param address `host:port` of the server's RPC, as the universe names it. */
export const nodeQueue = (address: string): string => `node.${address}`;

/** Who polls a node's queue. */
export interface AgentPoller {
  readonly host: string;
  /** UUID of the tablet server whose data directories the agent proved to have when it started. Absent where it could not. */
  readonly server?: string;
}

/** The identity that an agent polls under: its process, its machine and, once proved, its tablet server. */
export function agentIdentity(pid: number, host: string, server?: string): string {
  return `${pid}@${host}${server === undefined ? '' : ` of tablet server ${server}`}`;
}

/** Reads an agent's identity. Of any other text, the host is the whole text. */
export function parseAgentIdentity(identity: string): AgentPoller {
  const [, host = identity, server] = /^\d+@(.*?)(?: of tablet server ([0-9a-f]{32}))?$/.exec(identity) ?? [];
  return { host, ...defined({ server }) };
}

/** The identity that a worker polls under if it is no agent. */
export function identityOfWorker(identity: string, version: string): string {
  return `${identity}${OF_VERSION}${version}`;
}

/** The version of Holdfast in such an identity. Undefined for workers of versions that don't report theirs. */
export function versionOfWorker(identity: string): string | undefined {
  const at = identity.lastIndexOf(OF_VERSION);
  return at === -1 ? undefined : identity.slice(at + OF_VERSION.length);
}

const OF_VERSION = ' of holdfast ';
