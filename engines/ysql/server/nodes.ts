import { HoldfastError, permanent } from '../../../model/errors.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { connect, type Session } from './session.ts';
import { readYbServers, type YbServer } from './yb-servers.ts';

/*
 * On YugabyteDB every node runs its own PostgreSQL: pg_stat_activity and pg_terminate_backend know only the sessions of that node (issue 13966), and a
 * database can be renamed or dropped while sessions of other nodes use it (issues 7400, 33209). So code that looks for sessions must ask each node.
 */

/** A node that could not be asked. */
export interface SilentNode {
  /** `host:port`, as `yb_servers()` names it. */
  readonly node: string;
  readonly reason: string;
}

interface NodeAnswers<T> {
  /** The first answer is from the calling session; on PostgreSQL it is the only one. */
  readonly answers: readonly T[];
  readonly silent: readonly SilentNode[];
}

/**
 * Runs `work` in `session` and, on YugabyteDB, in a separate session on every node, all at once. The node of `session` may therefore be asked
 * twice. Returns the names of nodes that it can reach neither by their address nor by their public one. Throws what `work` throws.
 */
export async function onEveryNode<T>(
  session: Session,
  target: ConnectionTarget,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<NodeAnswers<T>> {
  const own = await work(session);
  if (session.product !== 'yugabytedb') return { answers: [own], silent: [] };
  const servers = await readYbServers(session);
  const asked = await Promise.all(
    servers.map((server) => askNode(target, session.database, server, signal, work)),
  );
  return {
    answers: [own, ...asked.flatMap((one) => ('answer' in one ? [one.answer] : []))],
    silent: asked.flatMap((one) => ('answer' in one ? [] : [one])),
  };
}

async function askNode<T>(
  target: ConnectionTarget,
  database: string,
  { host, port, publicIp }: YbServer,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<{ readonly answer: T } | SilentNode> {
  const addresses = [host, publicIp].filter((address) => address !== '');
  let reason = 'it has no address';
  for (const address of new Set(addresses)) {
    let session: Session;
    try {
      session = await connect({ ...target, hosts: [{ host: address, port }] }, database, signal);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      reason = error.message;
      continue;
    }
    try {
      return { answer: await work(session) };
    } finally {
      await session.close();
    }
  }
  return { node: `${host}:${port}`, reason };
}

/** Refuses an overwriting restore while some node can't be asked for its sessions. Throws `YSQL_NODE_SILENT` (permanent), naming it. */
export async function checkNodesAnswer(
  session: Session,
  target: ConnectionTarget,
  signal: AbortSignal,
): Promise<void> {
  const { silent } = await onEveryNode(session, target, signal, async () => undefined);
  const [first] = silent;
  if (first === undefined) return;
  throw permanent(
    'YSQL_NODE_SILENT',
    `${listNodes(silent)} can't be asked for sessions, which would go on writing into the database that is replaced: ${first.reason}`,
    'Let this worker reach every node that yb_servers() lists (address and YSQL port), or take the node out of the universe; or restore into a new name (--into).',
  );
}

/** Lists nodes as the subject of a sentence. */
export function listNodes(silent: readonly SilentNode[]): string {
  const names = silent.map(({ node }) => node).join(', ');
  return `${silent.length === 1 ? 'Node' : 'Nodes'} ${names}`;
}
