import type { NodeInspection, ServersByAddress } from '../../model/tablets.ts';
import type { Entities } from './entities.ts';
import { wholeReplicas } from './placement.ts';
import type { TabletServer } from './yb-admin/topology.ts';

/** The tablet server at each address. If the masters also remember a dead one at the address, the live one counts. */
export function serversByAddress(servers: readonly TabletServer[]): ServersByAddress {
  const dead = servers.filter(({ status }) => status !== 'ALIVE');
  const alive = servers.filter(({ status }) => status === 'ALIVE');
  return new Map([...dead, ...alive].map(({ address, uuid }) => [address, uuid]));
}

/** Names a server that isn't alive, and says if another one, made anew, runs at its address by now. */
export function deadServer(server: TabletServer, all: readonly TabletServer[]): string {
  const successor = all.find(
    ({ address, uuid, status }) => address === server.address && uuid !== server.uuid && status === 'ALIVE',
  );
  return successor === undefined
    ? `${server.address} (${server.uuid})`
    : `${server.address} (${server.uuid}, which was made anew: now ${successor.uuid} runs at that address)`;
}

/** How many tablets of its server an agent is asked for: enough to notice directories of another server, few enough for history. */
const TABLETS_ASKED = 8;

const ID = /^[0-9a-f]{32}$/;

/** What each agent compares its node with, by address. Leaves out tablets that are being moved. */
export function inspections(
  servers: readonly TabletServer[],
  { tablets }: Pick<Entities, 'tablets'>,
): Readonly<Record<string, NodeInspection>> {
  const byServer = new Map<string, { readonly table: string; readonly tablet: string }[]>();
  for (const tablet of tablets) {
    if (!ID.test(tablet.id) || !ID.test(tablet.tableId)) continue;
    for (const { server } of wholeReplicas(tablet)) {
      const own = byServer.get(server) ?? [];
      byServer.set(server, own);
      own.push({ table: tablet.tableId, tablet: tablet.id });
    }
  }
  return Object.fromEntries(
    servers.map(({ address, uuid }) => [
      address,
      { server: uuid, tablets: spreadOver(byServer.get(uuid) ?? [], TABLETS_ASKED) },
    ]),
  );
}

/** `count` of them, spread over the whole list, since neighbours lie on the same disk. */
function spreadOver<T>(all: readonly T[], count: number): readonly T[] {
  if (all.length <= count) return all;
  const step = all.length / count;
  return Array.from({ length: count }, (_, index) => all[Math.floor(index * step)]).flatMap(
    (one) => one ?? [],
  );
}
