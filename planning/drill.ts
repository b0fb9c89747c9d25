import { defined } from '../model/defined.ts';
import type { DrillInput, DrillSpec } from '../model/drill.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { Catalogue, CatalogueEntry } from '../model/recovery.ts';

/** The settings of a drill that is started by hand, for a plan without a drill of its own. */
const BY_HAND: DrillSpec = {
  backup: 'latest',
  check: 'content',
  assertions: [],
  parallelism: 2,
  timeoutMs: 12 * 3_600_000,
};

/**
 * The input of a drill of a plan, whether a Schedule or a person starts it. @param backup the backup to restore, where a person
 * names one
 */
export function drillInput(plan: CompiledPlan, backup?: string): DrillInput {
  const { source, repository, labels } = plan.pipeline;
  return {
    plan: plan.name,
    labels,
    source,
    repository,
    drill: plan.drill ?? BY_HAND,
    ...defined({ backup, notify: plan.notify }),
    ...(plan.pointTime?.archive === undefined ? {} : { archive: true }),
  };
}

/**
 * Chooses the backup to restore. Undefined where there is none. `latest` takes a safety backup only if the plan has no other.
 *
 * @param random from 0 (included) to 1 (excluded); decides if the wish is `random`
 */
export function chooseForDrill(
  { entries }: Pick<Catalogue, 'entries'>,
  wish: DrillSpec['backup'],
  random: number,
): CatalogueEntry | undefined {
  if (wish === 'latest') return entries.find(({ kind }) => kind !== 'safety') ?? entries[0];
  return entries[Math.floor(random * entries.length)];
}
