import type { UniverseView } from '../model.ts';
import { tabletFolder } from './files.ts';
import type { World } from './world.ts';

/** Returns the part of the state that tests may see. */
export function view(world: World): UniverseView {
  const { state } = world;
  const namespace = (id: string | undefined): string => {
    const found = state.namespaces.find((other) => other.id === id);
    return found === undefined ? '' : `${found.kind}.${found.name}`;
  };
  return {
    tservers: state.tservers.map(({ uuid, alive, diedOf }) => ({
      uuid,
      alive,
      ...(diedOf === undefined ? {} : { diedOf }),
    })),
    snapshots: state.snapshots.map((snapshot) => ({
      id: snapshot.id,
      namespace: namespace(snapshot.namespaceId),
      state: snapshot.state,
      imported: snapshot.imported,
      ...(snapshot.scheduleId === undefined ? {} : { schedule: snapshot.scheduleId }),
    })),
    restorations: state.restorations.map(({ id, snapshotId, state: now, problem }) => ({
      id,
      snapshot: snapshotId,
      state: now,
      ...(problem === undefined ? {} : { problem }),
    })),
    schedules: state.schedules.map(({ id, namespaceId }) => ({ id, namespace: namespace(namespaceId) })),
    tablets: state.tablets.map((tablet) => {
      const table = state.tables.find(({ id }) => id === tablet.tableId);
      return {
        id: tablet.id,
        tableId: tablet.tableId,
        table: table === undefined ? '' : `${table.schema}.${table.name}`,
        namespace: namespace(table?.namespaceId),
        ...(tablet.leader === undefined ? {} : { leader: tablet.leader }),
        replicas: tablet.replicas.map((replica) => ({
          server: replica.server,
          role: replica.role,
          folder: tabletFolder(replica, tablet),
        })),
      };
    }),
    loadBalancerEnabled: state.loadBalancerEnabled,
    splittingHeldUntil: Math.max(
      0,
      ...Object.values(state.splittingHolds).filter((until) => until > world.now()),
    ),
    calls: state.calls,
    armed: state.triggers.length,
  };
}
