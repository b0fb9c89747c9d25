import { tabletSource } from '../model/engine-kind.ts';
import { messageOf, permanent, UsageError } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type {
  RecoveryDecision,
  RecoveryRefusal,
  RecoveryRequest,
  RecoverySource,
} from '../model/recovery.ts';
import { planRecovery } from '../planning/recovery/plan.ts';
import { readManifest } from '../repository/backups/manifest.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import type { Access } from './access.ts';
import { withStore } from './backups.ts';

/** Decides a request by what the repository and the universe's own history now hold. */
export async function decideRecovery(
  access: Access,
  plan: CompiledPlan,
  request: RecoveryRequest,
): Promise<RecoveryDecision> {
  // The universe's own history is listed first, since it is the cheapest way: nothing is fetched.
  const inCluster = request.to === undefined ? [] : await inClusterHistory(access, plan);
  return withStore(access, plan.pipeline.repository, async (store) => {
    if (request.backup !== undefined) {
      // For a backup that can't be restored, this throws the precise error: damaged, discarded, missing.
      await readManifest(store, { plan: plan.name, backup: request.backup });
    }
    const { entries, damaged } = await readCatalogue(store, plan.pipeline.repository, plan.name);
    for (const { backup, problem } of damaged ?? []) access.tell?.(`warning: backup ${backup}: ${problem}`);
    const { archiveSources } = await import('../engines/ysql/archive/sources.ts');
    const archives = await archiveSources(store, plan.name, entries);
    return planRecovery([...inCluster, { kind: 'backups', entries }, ...archives], request, {
      now: new Date(),
    });
  });
}

/** What the universe's own history can bring back, if the plan keeps one. If the universe can't be asked, only backups remain. */
export async function inClusterHistory(
  access: Access,
  { pipeline, pointTime }: CompiledPlan,
): Promise<readonly RecoverySource[]> {
  const source = tabletSource(pipeline.source);
  if (pointTime?.inCluster === undefined || source === undefined) return [];
  const { inClusterSources } = await import('../engines/universe/in-cluster/recovery.ts');
  const { secretsOf } = await import('../engines/resolve-secret.ts');
  const { quietVerb } = await import('../engines/quiet-verb.ts');
  const verb = quietVerb(secretsOf(access.environment), AbortSignal.timeout(HISTORY_PATIENCE_MS));
  try {
    return await inClusterSources(verb, source);
  } catch (error) {
    access.tell?.(`warning: the universe's own history can't be looked at: ${messageOf(error)}`);
    return [];
  }
}

const HISTORY_PATIENCE_MS = 60_000;

/** A decision that is no refusal. */
export type ChosenWay = Exclude<RecoveryDecision, RecoveryRefusal>;

/** How to meet a request. Tells the decision's notes. Throws a refusal. */
export async function chooseWay(
  access: Access,
  plan: CompiledPlan,
  request: RecoveryRequest,
): Promise<ChosenWay> {
  const decision = await decideRecovery(access, plan, request);
  if (decision.kind === 'refused') throw refusalError(access, decision);
  for (const note of decision.notes) access.tell?.(`note: ${note}`);
  return decision;
}

interface ChosenBackup {
  readonly backup: string;
  /** The instant whose data it holds. */
  readonly instant: string;
  readonly databases: readonly string[];
}

/** What the chosen backup contains. */
export async function describeBackup(
  access: Access,
  plan: CompiledPlan,
  { backup, instant }: { readonly backup: string; readonly instant: string },
): Promise<ChosenBackup> {
  return withStore(access, plan.pipeline.repository, async (store) => {
    const manifest = await readManifest(store, { plan: plan.name, backup });
    return { backup, instant, databases: manifest.databases.map(({ name }) => name) };
  });
}

/** The error for a refusal. It is a usage error if the request can't be read. */
function refusalError(access: Access, { code, reason, remedy, notes }: RecoveryRefusal): Error {
  for (const note of notes) access.tell?.(`note: ${note}`);
  if (code === 'BAD_REQUEST' || code === 'BAD_INSTANT') return new UsageError(reason, remedy);
  return permanent(code, reason, remedy);
}
