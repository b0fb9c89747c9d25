import { defined } from './defined.ts';

/** The task queue of Holdfast's workers. */
export const DEFAULT_TASK_QUEUE = 'holdfast';

/** Read points have a task queue of their own, so that a held one never takes a slot from the chunks. */
export const readPointQueue = (taskQueue: string): string => `${taskQueue}.read-points`;

/** The task queue of prunes with credentials of their own, so that one worker alone may have these. */
export const pruneQueue = (taskQueue: string): string => `${taskQueue}.prune`;

/** The queue that the agent of a tablet server polls. @param address `host:port` of its RPC, as the universe names it. */
export const nodeQueue = (address: string): string => `node.${address}`;

/** Who polls a node's queue. */
export interface AgentPoller {
  readonly host: string;
  /** UUID of the tablet server whose data directories it proved to have when it started; absent where it could not. */
  readonly server?: string;
}

/** The identity under which an agent polls: its process, its machine and, where it is proved, its tablet server. */
export function agentIdentity(pid: number, host: string, server?: string): string {
  return `${pid}@${host}${server === undefined ? '' : ` of tablet server ${server}`}`;
}

export function parseAgentIdentity(identity: string): AgentPoller {
  const [, host = identity, server] = /^\d+@(.*?)(?: of tablet server ([0-9a-f]{32}))?$/.exec(identity) ?? [];
  return { host, ...defined({ server }) };
}

/** The identity under which a worker polls that is no agent. */
export function identityOfWorker(identity: string, version: string): string {
  return `${identity}${OF_VERSION}${version}`;
}

/** The version of Holdfast in such an identity; undefined for workers of versions that didn't tell theirs. */
export function versionOfWorker(identity: string): string | undefined {
  const at = identity.lastIndexOf(OF_VERSION);
  return at === -1 ? undefined : identity.slice(at + OF_VERSION.length);
}

const OF_VERSION = ' of holdfast ';
