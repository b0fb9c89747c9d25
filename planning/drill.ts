import { defined } from '../model/defined.ts';
import type { DrillInput, DrillSpec } from '../model/drill.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { Catalogue, CatalogueEntry } from '../model/recovery.ts';

/** The settings of a drill by hand, for a plan that has none. */
const BY_HAND: DrillSpec = {
  backup: 'latest',
  check: 'content',
  assertions: [],
  parallelism: 2,
  timeoutMs: 12 * 3_600_000,
};

/** What a drill of a plan is started with, by a Schedule or by hand; `backup` names the one to restore. */
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
 * The backup to restore; undefined where there is none. For `latest`, backups of the plan come before safety backups.
 *
 * @param random from 0 up to 1, by which the wish `random` chooses
 */
export function chooseForDrill(
  { entries }: Pick<Catalogue, 'entries'>,
  wish: DrillSpec['backup'],
  random: number,
): CatalogueEntry | undefined {
  if (wish === 'latest') return entries.find(({ kind }) => kind !== 'safety') ?? entries[0];
  return entries[Math.floor(random * entries.length)];
}
