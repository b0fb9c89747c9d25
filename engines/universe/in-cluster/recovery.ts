import type { UniverseSource } from '../../../model/pipeline.ts';
import type { InClusterLimit, RecoverySource } from '../../../model/recovery.ts';
import type { VerbContext } from '../../engine.ts';
import { withSession } from '../../ysql/server/session.ts';
import { rewindLimits } from '../neighbours.ts';
import { namesIn, openUniverse, ysqlTarget } from '../universe.ts';
import { databaseLimits, scheduleSource } from './sources.ts';

/** For the planner: the instants that the universe's own history reaches for a plan. Empty if a database has no schedule. */
export async function inClusterSources(
  verb: VerbContext,
  source: UniverseSource,
): Promise<readonly RecoverySource[]> {
  const universe = await openUniverse(verb, source);
  const namespaces = namesIn(source).map(({ api, name }) => `${api}.${name}`);
  const limits = new Map<string, InClusterLimit>();
  if (source.databases.length > 0) {
    const target = await ysqlTarget(verb, universe);
    for (const database of source.databases) {
      for (const limit of await withSession(target, database, verb.signal, databaseLimits))
        limits.set(limit.reason, limit);
    }
  }
  const surroundings = {
    universe,
    ysql: () => ysqlTarget(verb, universe),
    names: namesIn(source),
    signal: verb.signal,
  };
  for (const limit of await rewindLimits(surroundings)) limits.set(limit.reason, limit);
  const found = await scheduleSource(universe.admin, namespaces, new Date(), [...limits.values()]);
  return found === undefined ? [] : [found];
}
