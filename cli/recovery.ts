import { permanent } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { RecoveryDecision, RecoveryRefusal, RecoveryRequest } from '../model/recovery.ts';
import { planRecovery } from '../planning/recovery.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { readManifest } from '../repository/manifest.ts';
import { withStore } from './backups.ts';
import { say, UsageError } from './output.ts';

/** What the planner decides about a request, from what the repository holds now. */
export function decideRecovery(plan: CompiledPlan, request: RecoveryRequest): Promise<RecoveryDecision> {
  return withStore(plan.pipeline.repository, async (store) => {
    if (request.backup !== undefined) {
      // Says precisely what is wrong with one that can't be restored: damaged, discarded, not there.
      await readManifest(store, { plan: plan.name, backup: request.backup });
    }
    const { entries, damaged } = await readCatalogue(store, plan.pipeline.repository, plan.name);
    for (const { backup, problem } of damaged ?? []) say(`warning: backup ${backup}: ${problem}`);
    return planRecovery([{ kind: 'backups', entries }], request, { now: new Date() });
  });
}

export interface ChosenBackup {
  readonly backup: string;
  /** The instant whose data it holds. */
  readonly instant: string;
  readonly databases: readonly string[];
}

/** The backup by which a request is met; what is to be known of it is told on stderr. Throws the refusal. */
export async function chooseBackup(plan: CompiledPlan, request: RecoveryRequest): Promise<ChosenBackup> {
  const decision = await decideRecovery(plan, request);
  if (decision.kind === 'refused') throw refusalError(decision);
  for (const note of decision.notes) say(`note: ${note}`);
  if (decision.way !== 'backup') throw new TypeError('a repository knows backups alone');
  const { backup, instant } = decision;
  return withStore(plan.pipeline.repository, async (store) => {
    const manifest = await readManifest(store, { plan: plan.name, backup });
    return { backup, instant, databases: manifest.databases.map(({ name }) => name) };
  });
}

/** The refusal as a command tells it: a request that can't be read is wrong usage. */
export function refusalError({ code, reason, remedy, notes }: RecoveryRefusal): Error {
  for (const note of notes) say(`note: ${note}`);
  if (code === 'BAD_REQUEST' || code === 'BAD_INSTANT') return new UsageError(reason, remedy);
  return permanent(code, reason, remedy);
}
