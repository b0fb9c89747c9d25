import type { RestoreRequest } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { tabletSource } from '../model/engine-kind.ts';
import type { InClusterRequest } from '../model/in-cluster.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { RecoveryRequest } from '../model/recovery.ts';
import { safetyPipeline } from '../model/safety-backup.ts';
import { audienceOf } from '../planning/notification.ts';
import type { BackupInput } from './messages.ts';
import type { PlanRequest } from './plan-messages.ts';
import { knownOptions } from './plan-request-reading.ts';

/** Makes the inputs of the runs that a plan's requests ask for. Pure. */

/** The input of the backup that a request asks for. */
export function backupInput({ pipeline, notify, window }: CompiledPlan, { run }: PlanRequest): BackupInput {
  return { pipeline, backup: run.id, ...defined({ notify, window }) };
}

/** @param safetyId gives the id of the safety backup; called only if one is made */
export function restoreInput(
  plan: CompiledPlan,
  { wish = {}, options = {}, decision, databases = [], run }: PlanRequest,
  safetyId: () => string,
): RestoreRequest {
  const { taskQueue: _, excludeTables = [], ...given } = knownOptions(options);
  return {
    restore: run.id,
    from: {
      repository: plan.pipeline.repository,
      plan: plan.name,
      backup: decision !== undefined && 'backup' in decision ? decision.backup : '',
    },
    ...(decision?.way === 'snapshot' ? { at: decision.instant } : {}),
    source: plan.pipeline.source,
    into: intoOf(wish.into, databases),
    replace: wish.replace === true,
    tables: { include: wish.tables ?? [], exclude: excludeTables },
    contents: 'all',
    globals: false,
    check: 'rows',
    parallelism: 2,
    ...defined({ owner: ownerOf(plan, wish) }),
    ...(wish.tolerate === true ? { tolerate: true } : {}),
    ...(wish.takeName === true ? { takeName: true } : {}),
    ...(wish.breakOthers === true ? { breakOthers: true } : {}),
    ...given,
    ...(decision?.way === 'archive' ? { replay: decision.replay } : {}),
    scratch: false,
    ...(saves(plan, wish)
      ? { safetyBackup: { backup: safetyId(), pipeline: safetyPipeline(plan.pipeline) } }
      : {}),
    ...audienceOf(plan),
  };
}

/** Only a `ysql` source takes an owner: the other engines' objects keep theirs. */
function ownerOf({ pipeline, restore }: CompiledPlan, { owner }: RecoveryRequest): string | undefined {
  return owner ?? (pipeline.source.engine === 'ysql' ? restore?.owner : undefined);
}

/** The input of a restore by the universe's own history. Undefined where the restore is made from a backup. */
export function inClusterInput(
  plan: CompiledPlan,
  { wish = {}, decision, databases = [], run }: PlanRequest,
): InClusterRequest | undefined {
  const source = tabletSource(plan.pipeline.source);
  if (decision === undefined || !('schedule' in decision) || source === undefined) return undefined;
  const { way, instant } = decision;
  const names = intoOf(wish.into, databases);
  const nameOf = (from: string) => (way === 'rewind' ? from : (names[from] ?? `${from}_restored_${run.id}`));
  return {
    plan: plan.name,
    restore: run.id,
    way,
    instant,
    source,
    databases: databases.map((from) => ({ from, to: nameOf(from) })),
    safetySnapshot: saves(plan, wish),
    repository: plan.pipeline.repository,
    ...(wish.breakOthers === true ? { breakOthers: true } : {}),
    ...audienceOf(plan),
  };
}

/** Whether a restore writes into databases that are there: with `replace` in their place, or rows alone, which never go into a new one. */
export function overwrites({ wish, options }: PlanRequest): boolean {
  return wish?.replace === true || options?.contents === 'data';
}

function saves({ restore }: CompiledPlan, { replace, safetyBackup }: RecoveryRequest): boolean {
  return replace === true && (safetyBackup ?? restore?.safetyBackup ?? true);
}

/** The new names by database. A single name without a database names the only one. */
function intoOf(
  into: RecoveryRequest['into'],
  databases: readonly string[],
): Readonly<Record<string, string>> {
  if (typeof into !== 'string') return into ?? {};
  const [only] = databases;
  return only === undefined ? {} : { [only]: into };
}
