import type { LogicalRestoreRequest } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { RecoveryDecision, RecoveryRequest } from '../model/recovery.ts';
import type { Access } from './access.ts';
import { foreseeTarget, type TargetForesight } from './foresight.ts';
import { decideRecovery } from './recovery.ts';

/** What a restore would do. Field names are those of `restore --explain --json`. */
export interface ExplainedRestore {
  readonly plan: string;
  /** Of kind `refused` where it can't be done: with the reason, the remedy and the nearest instants. */
  readonly decision: RecoveryDecision;
  /** What the target server lacks; for a backup of engine ysql alone. */
  readonly target?: TargetForesight;
}

/** Where a restore would go to, as far as it matters for what the target lacks. */
export type RestoreTarget = Pick<Partial<LogicalRestoreRequest>, 'connection' | 'owner' | 'globals'>;

/** What a restore would do, from which backup and why. Restores nothing, and needs no Temporal server. */
export async function explainRestoreOf(
  access: Access,
  plan: CompiledPlan,
  request: RecoveryRequest,
  wishes: RestoreTarget = {},
): Promise<ExplainedRestore> {
  const decision = await decideRecovery(access, plan, request);
  const target =
    decision.kind === 'restore' && 'backup' in decision
      ? await foreseeTarget(access, plan, decision.backup, {
          ...defined({ owner: ownerOf(plan) }),
          ...wishes,
        })
      : undefined;
  return { plan: plan.name, decision, ...defined({ target }) };
}

/** The role to which a plan gives what its restores create. */
export function ownerOf({ pipeline, restore }: CompiledPlan): string | undefined {
  return pipeline.source.engine === 'ysql' ? restore?.owner : undefined;
}
