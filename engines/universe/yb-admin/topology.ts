import { recover } from '../../../model/errors.ts';
import { unreadable, YB_ADMIN } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { field, isUuid, jsonIn, listField, rowsOf, textField } from './text.ts';

/** A master, as `list_all_masters` prints it. */
export interface Master {
  readonly uuid: string;
  /** `host:port` */
  readonly address: string;
  readonly alive: boolean;
  readonly leads: boolean;
}

/** A tablet server, as `list_all_tablet_servers` prints it. */
export interface TabletServer {
  readonly uuid: string;
  /** `host:port` of its RPC. */
  readonly address: string;
  readonly status: 'ALIVE' | 'DEAD' | 'UNKNOWN';
  /** `host:port` that is advertised to others; undefined where it is the same. */
  readonly broadcast?: string;
}

export type ReplicaRole = 'LEADER' | 'FOLLOWER' | 'READ_REPLICA' | 'LEARNER' | 'OTHER';

/** A copy of a tablet. A `LEARNER` isn't whole yet; an `OTHER` may not be whole. */
export interface TabletReplica {
  /** UUID of its tablet server. */
  readonly server: string;
  /** `host:port` of its tablet server. */
  readonly address: string;
  readonly role: ReplicaRole;
}

/** A tablet and its replicas. */
export interface Tablet {
  readonly id: string;
  readonly tableId: string;
  /** Empty while the tablet is being created, or after it was replaced. Has no `LEADER` while the tablet has none. */
  readonly replicas: readonly TabletReplica[];
}

/** Lists all masters, including dead ones. Throws `YB_ADMIN_UNREADABLE`. */
export async function listMasters(admin: YbAdmin): Promise<readonly Master[]> {
  return parseMasters(await admin.run('list_all_masters', []));
}

export function parseMasters(output: string): readonly Master[] {
  const masters = output.split(/\r?\n/).flatMap((line) => {
    const [uuid = '', address = '', state, role] = line.trim().split(/\s+/);
    if (!isAddress(address)) return [];
    return [{ uuid, address, alive: state === 'ALIVE', leads: role === 'LEADER' }];
  });
  if (masters.length === 0) throw unreadable('list_all_masters', output, 'row of a master');
  return masters;
}

/** All tablet servers that the masters know, including dead ones. */
export async function listTabletServers(admin: YbAdmin): Promise<readonly TabletServer[]> {
  return parseTabletServers(await admin.run('list_all_tablet_servers', []));
}

const STATUSES: ReadonlySet<string> = new Set(['ALIVE', 'DEAD', 'UNKNOWN']);

/** Columns are separated by one space, and sizes contain one. So only the first columns and the last have a fixed place. */
export function parseTabletServers(output: string): readonly TabletServer[] {
  const servers = output.split(/\r?\n/).flatMap((line) => {
    const cells = line.trim().split(/\s+/);
    const [uuid = '', address = ''] = cells;
    if (!isUuid(uuid) || !isAddress(address)) return [];
    const status = cells.find((cell) => STATUSES.has(cell)) ?? 'UNKNOWN';
    const last = cells.at(-1) ?? '';
    const broadcast = cells.length > 4 && isAddress(last) && last !== address ? { broadcast: last } : {};
    return [{ uuid, address, status: status as TabletServer['status'], ...broadcast }];
  });
  if (servers.length === 0 && !/Tablet Server UUID/i.test(output)) {
    throw unreadable('list_all_tablet_servers', output, 'row of a tablet server');
  }
  return servers;
}

function isAddress(text: string): boolean {
  return /^(?:\[[0-9a-f:.]+\]|[^\s:]+):\d+$/i.test(text);
}

/** The tablets of one table with their leaders and, where the build shows them, followers. Read replicas aren't shown. */
export async function listTablets(admin: YbAdmin, tableId: string): Promise<readonly Tablet[]> {
  const operation = 'list_tablets';
  const args = [`tableid.${tableId}`, '0'];
  const asking = admin.run(operation, [...args, 'JSON', 'include_followers']);
  // Old builds print only text.
  return parseTablets(await recover(asking, YB_ADMIN.usage, () => admin.run(operation, args)), tableId);
}

/** JSON, or text in the columns of any version. */
export function parseTablets(output: string, tableId: string): readonly Tablet[] {
  if (/^\s*\{/.test(output)) return parseTabletsJson(output, tableId);
  const [header, ...rows] = rowsOf(output);
  if (header === undefined || !/^Tablet[- ]UUID/i.test(header[0] ?? '')) {
    throw unreadable('list_tablets', output, 'header "Tablet-UUID"');
  }
  const column = (name: RegExp) => header.findIndex((cell) => name.test(cell));
  const [leaderAt, uuidAt, followersAt] = [
    column(/^Leader(?:-IP)?$/i),
    column(/^Leader-UUID$/i),
    column(/^Followers$/i),
  ];
  return rows.flatMap((cells) => {
    const [id = ''] = cells;
    if (!isUuid(id)) return [];
    const leader = cells[leaderAt] ?? '';
    const followers = (cells[followersAt] ?? '').split(',').map((address) => address.trim());
    return [
      {
        id,
        tableId,
        replicas: [
          ...replicaAt(leader, cells[uuidAt] ?? '', 'LEADER'),
          ...followers.flatMap((address) => replicaAt(address, '', 'FOLLOWER')),
        ],
      },
    ];
  });
}

/** No replica if the cell is empty: the tablet has no leader. */
function replicaAt(address: string, server: string, role: ReplicaRole): readonly TabletReplica[] {
  return isAddress(address) ? [{ server, address, role }] : [];
}

function parseTabletsJson(output: string, tableId: string): readonly Tablet[] {
  const value = jsonIn('list_tablets', output);
  if (!Array.isArray(field(value, 'tablets'))) throw unreadable('list_tablets', output, 'list "tablets"');
  return listField(value, 'tablets').map((entry) => {
    const id = textField(entry, 'id');
    if (id === undefined) throw unreadable('list_tablets', output, 'id of every tablet');
    const peers = [field(entry, 'leader'), ...listField(entry, 'followers')];
    return {
      id,
      tableId,
      replicas: peers.flatMap((peer) =>
        replicaAt(
          textField(peer, 'endpoint') ?? '',
          textField(peer, 'uuid') ?? '',
          roleOf(textField(peer, 'role')),
        ),
      ),
    };
  });
}

/** Every replica of one tablet, read replicas included. Throws `YB_ADMIN_BUSY` for a tablet that was replaced. */
export async function listTabletReplicas(
  admin: YbAdmin,
  tabletId: string,
): Promise<readonly TabletReplica[]> {
  return parseTabletReplicas(await admin.run('list_tablet_servers', [tabletId]));
}

/** Empty output is an answer too: no replicas. */
export function parseTabletReplicas(output: string): readonly TabletReplica[] {
  const replicas = rowsOf(output).flatMap((cells) => {
    const [server = '', address = '', role] = cells.length < 3 ? (cells[0] ?? '').split(/\s+/) : cells;
    return isUuid(server) && isAddress(address) ? [{ server, address, role: roleOf(role) }] : [];
  });
  if (replicas.length === 0 && output.trim() !== '' && !/Server UUID/i.test(output)) {
    throw unreadable('list_tablet_servers', output, 'row of a replica');
  }
  return replicas;
}

const ROLES: ReadonlySet<string> = new Set<ReplicaRole>(['LEADER', 'FOLLOWER', 'READ_REPLICA', 'LEARNER']);

function roleOf(text: string | undefined): ReplicaRole {
  return text !== undefined && ROLES.has(text) ? (text as ReplicaRole) : 'OTHER';
}
