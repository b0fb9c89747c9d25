import type { ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { TabletEngine } from '../tablet-engine.ts';
import { runStatementAt } from '../ysql/server/statement.ts';
import { agentOf } from './agent/agent.ts';
import { checkSource } from './check-source.ts';
import { describeTablets, describeTabletWork, exportUniverse } from './export.ts';
import type { SnapshotPoint } from './export-database.ts';
import { flushUniverse } from './flush.ts';
import { identify } from './identify.ts';
import { releaseLeftovers, releaseSnapshots } from './release.ts';
import { restoreOfTablets } from './restore/engine.ts';
import { collect } from './seal.ts';
import { openSnapshots } from './snapshot.ts';
import { locateTablets } from './targets.ts';
import { openUniverse, ownYsqlTarget } from './universe.ts';

/** The engine for whole universes of YugabyteDB: distributed snapshots by yb-admin, files moved by agents. */
export const universeEngine: TabletEngine = {
  name: 'universe',
  kind: 'tablets',
  identify,
  check: checkSource,
  flush: flushUniverse,
  // Snapshots outlive a worker, and a retry finds them again, so the epoch stays the same.
  openReadPoint: async (verb, source, firstEpoch) => {
    const context = await verb.backup();
    await releaseLeftovers(context, source);
    return openSnapshots(context, source, firstEpoch);
  },
  listWork: async (context, source, readPoint) =>
    describeTabletWork(await exportUniverse(context, source, snapshotsOf(readPoint))),
  describeTablets,
  locateTablets,
  collect,
  sql: async (verb, source, statement, database) =>
    runStatementAt(verb, await ownYsqlTarget(verb, await openUniverse(verb, source)), statement, database),
  releaseSnapshots,
  agentOf,
  restore: restoreOfTablets,
  discard: restoreOfTablets.discard,
};

function snapshotsOf(readPoint: ReadPoint): SnapshotPoint {
  if (readPoint.kind === 'universe-snapshot') return readPoint;
  throw permanent(READ_POINT_LOST, 'The read point is no distributed snapshot', 'A new one is taken.');
}
