import { HoldfastError, permanent, recover, transient } from '../../model/errors.ts';
import { fetchPage } from './http.ts';
import type { YbAdmin } from './yb-admin/program.ts';
import { field, listField, textField } from './yb-admin/text.ts';
import {
  listTabletReplicas,
  listTablets,
  type ReplicaRole,
  type Tablet,
  type TabletReplica,
} from './yb-admin/topology.ts';

/** What the universe consists of. One answer of the leading master replaces a call for each tablet. */
export interface Entities {
  readonly namespaces: readonly {
    readonly id: string;
    readonly name: string;
    readonly kind: 'ysql' | 'ycql';
  }[];
  readonly tables: readonly {
    readonly id: string;
    readonly namespaceId: string;
    readonly name: string;
    readonly state: string;
  }[];
  /** `RUNNING` ones only: a split parent, a replaced or a deleted tablet has nothing to copy. */
  readonly tablets: readonly Tablet[];
}

/** The default port of a master's web server. */
export const MASTER_WEB_PORT = 7000;

const NO_ENTITIES = 'UNIVERSE_NO_ENTITIES';

/** `http://host:7000` of each master's `host:7100`. */
export function masterWebAddresses(masters: readonly string[], port = MASTER_WEB_PORT): readonly string[] {
  return masters.map((master) => `http://${master.replace(/:\d+$/, '')}:${port}`);
}

/**
 * Reads `/dump-entities` from the first master that answers with it. Only the leader has it; a follower sends a page that points there.
 *
 * @throws HoldfastError `UNIVERSE_NO_ENTITIES` (transient) if none does; `UNIVERSE_ENTITIES_UNREADABLE` counts as no answer
 */
export async function dumpEntities(webAddresses: readonly string[], signal: AbortSignal): Promise<Entities> {
  const failures: string[] = [];
  for (const address of webAddresses) {
    try {
      return parseEntities(await fetchPage(`${address}/dump-entities`, signal));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof HoldfastError)) throw error;
      failures.push(error.message);
    }
  }
  throw transient(
    NO_ENTITIES,
    `No master answered with the map of tablets: ${failures.join('; ')}`,
    "Check the masters' web servers (port 7000); without them the map is read by yb-admin, which is slower.",
  );
}

/** As `dumpEntities`, but returns undefined if no master answers with it, and passes the reason to `report`. */
export async function dumpEntitiesIfAnswered(
  webAddresses: readonly string[],
  signal: AbortSignal,
  report?: (reason: string) => void,
): Promise<Entities | undefined> {
  return await recover(dumpEntities(webAddresses, signal), NO_ENTITIES, ({ message }) => {
    report?.(message);
    return undefined;
  });
}

/** Parses the answer of `/dump-entities`. Throws `UNIVERSE_ENTITIES_UNREADABLE` (permanent). */
export function parseEntities(body: string): Entities {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    value = undefined;
  }
  if (!Array.isArray(field(value, 'tables')) || !Array.isArray(field(value, 'tablets'))) {
    throw permanent(
      'UNIVERSE_ENTITIES_UNREADABLE',
      `The answer to /dump-entities is not the map of tablets: ${JSON.stringify(body.slice(0, 200))}`,
      'Only the leading master has it; the others are asked too.',
    );
  }
  return {
    namespaces: listField(value, 'keyspaces').map((entry) => ({
      id: textField(entry, 'keyspace_id') ?? '',
      name: textField(entry, 'keyspace_name') ?? '',
      kind: textField(entry, 'keyspace_type') === 'ysql' ? 'ysql' : 'ycql',
    })),
    tables: listField(value, 'tables').map((entry) => ({
      id: textField(entry, 'table_id') ?? '',
      namespaceId: textField(entry, 'keyspace_id') ?? '',
      name: textField(entry, 'table_name') ?? '',
      state: textField(entry, 'state') ?? '',
    })),
    tablets: listField(value, 'tablets').flatMap(tablet),
  };
}

function tablet(entry: unknown): readonly Tablet[] {
  const id = textField(entry, 'tablet_id');
  const tableId = textField(entry, 'table_id');
  const state = textField(entry, 'state') ?? 'RUNNING';
  if (id === undefined || tableId === undefined || state !== 'RUNNING') return [];
  const leader = textField(entry, 'leader');
  return [{ id, tableId, replicas: listField(entry, 'replicas').flatMap((peer) => replica(peer, leader)) }];
}

function replica(peer: unknown, leader: string | undefined): readonly TabletReplica[] {
  const server = textField(peer, 'server_uuid');
  const address = textField(peer, 'addr');
  if (server === undefined || address === undefined) return [];
  return [{ server, address, role: roleOf(textField(peer, 'type'), server === leader) }];
}

/** Types of a Raft peer (consensus `PeerMemberType`): an observer is a read replica, a `PRE_` one is still being copied. */
function roleOf(type: string | undefined, leads: boolean): ReplicaRole {
  if (type === 'OBSERVER') return 'READ_REPLICA';
  if (type === 'PRE_VOTER' || type === 'PRE_OBSERVER') return 'LEARNER';
  if (type !== 'VOTER' && type !== undefined) return 'OTHER';
  return leads ? 'LEADER' : 'FOLLOWER';
}

/** The tablets of these tables, from `/dump-entities`; if no master answers with it, by `yb-admin`, table by table and tablet by tablet. */
export async function readTablets(
  admin: YbAdmin,
  webAddresses: readonly string[],
  tableIds: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<readonly Tablet[]> {
  const entities = await dumpEntitiesIfAnswered(webAddresses, signal);
  if (entities !== undefined) return entities.tablets.filter(({ tableId }) => tableIds.has(tableId));
  const tablets: Tablet[] = [];
  for (const tableId of tableIds) {
    for (const { id } of await listTablets(admin, tableId)) {
      // Unlike list_tablets, this shows read replicas and those that are still being copied.
      tablets.push({ id, tableId, replicas: await listTabletReplicas(admin, id) });
    }
  }
  return tablets;
}
