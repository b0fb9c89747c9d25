import { importOperations } from './operations/importing.ts';
import { neighbourOperations } from './operations/neighbours.ts';
import type { Operation } from './operations/operation.ts';
import { scheduleOperations } from './operations/schedules.ts';
import { snapshotOperations } from './operations/snapshots.ts';
import { topologyOperations } from './operations/topology.ts';
import { upkeepOperations } from './operations/upkeep.ts';

/** All operations of the simulated yb-admin. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  [
    ...snapshotOperations,
    ...importOperations,
    ...scheduleOperations,
    ...topologyOperations,
    ...upkeepOperations,
    ...neighbourOperations,
  ].map((operation) => [operation.name, operation]),
);
