import { type Check, check } from '../../../model/check.ts';
import { permanent } from '../../../model/errors.ts';
import type { UniverseSource } from '../../../model/pipeline.ts';
import type { VerbContext } from '../../engine.ts';
import { inClusterSources } from './recovery.ts';

/** A check of `holdfast doctor`: how far back the universe can be taken, and what stands in the way. */
export function checkHistory(verb: VerbContext, source: UniverseSource): Promise<Check> {
  return check('the universe keeps history', async () => {
    const [found] = await inClusterSources(verb, source);
    if (found?.kind !== 'snapshot-schedule') {
      throw permanent(
        'IN_CLUSTER_NO_SCHEDULE',
        'not every database and keyspace of the plan has a snapshot schedule with a snapshot yet',
        'Apply the plan (holdfast apply); the first snapshot takes a moment.',
      );
    }
    const since = found.windows.map(({ from }) => `every instant since ${from}`).join(', ');
    const limits = (found.limits ?? []).map(({ ways, reason }) => `no ${ways.join(' and no ')}: ${reason}`);
    return [since, ...limits].join('; ');
  });
}
