import { formatBytes } from './amounts.ts';
import type { NodeInspection, NodeReport } from './tablets.ts';

/**
 * How much space a node needs in relation to the fetched files: for the live files that a restoration makes of them, and for its
 * work.
 */
const SPACE_FACTOR = 1.2;

/** Why this node's agent isn't ready for a restore, in words; empty if it is. `bytes`: about how much the node's replicas need. */
export function unreadiness(
  node: string,
  report: NodeReport,
  inspection: NodeInspection,
  bytes: number,
): readonly string[] {
  const { problems, directories, missing = [], server } = report;
  const free = directories.reduce((sum, { freeBytes }) => sum + freeBytes, 0);
  const needed = bytes * SPACE_FACTOR;
  const asked = inspection.tablets?.length ?? 0;
  const where = directories.map(({ path }) => path).join(', ');
  return [
    ...problems,
    ...(inspection.server !== undefined && server === undefined && problems.length === 0
      ? [`the agent of ${node} is of an older version, and can not prove whose it is: update it`]
      : []),
    ...(missing.length === 0
      ? []
      : [
          `the agent of ${node} lacks ${missing.length} of ${asked} tablets that the universe says are there, the first being ${missing[0]}: its data directories (${where}) are not all of the tablet server's`,
        ]),
    ...(free < needed
      ? [`${node} has ${formatBytes(free)} free of about ${formatBytes(needed)} that it needs`]
      : []),
  ];
}
