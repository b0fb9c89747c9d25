import type { TargetLacks } from '../engines/engine.ts';
import type { LogicalRestoreRequest } from '../model/backup.ts';
import { scratchName } from '../model/drill.ts';
import { rowSource } from '../model/engine-kind.ts';
import { messageOf } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { Access } from './access.ts';

const PATIENCE_MS = 10 * 60_000;

/** What a restore would lack on the target server, or why this machine could not ask the server. */
export type TargetForesight = TargetLacks | { readonly problem: string };

/** Checks the target of a restore from this machine. Undefined for plans whose targets it can't check. */
export async function foreseeTarget(
  access: Access,
  plan: CompiledPlan,
  backup: string,
  wishes: Pick<Partial<LogicalRestoreRequest>, 'connection' | 'owner' | 'globals'>,
): Promise<TargetForesight | undefined> {
  const source = rowSource(plan.pipeline.source);
  if (source === undefined) return undefined;
  const { engineOf } = await import('../engines/registry.ts');
  const { lacks } = (await engineOf(source)).restore;
  if (lacks === undefined) return undefined;
  const { withRestoreContext } = await import('../engines/restore-context.ts');
  const { secretsOf } = await import('../engines/resolve-secret.ts');
  const { quietVerb } = await import('../engines/quiet-verb.ts');
  const verb = quietVerb(secretsOf(access.environment), AbortSignal.timeout(PATIENCE_MS));
  const ref = { repository: plan.pipeline.repository, plan: plan.name, backup };
  const restore = scratchName('doctor', new Date());
  try {
    return await withRestoreContext(verb, ref, source, { restore, ...wishes }, lacks);
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

/** One line for people. */
export function describeForesight(foresight: TargetForesight): string {
  if ('problem' in foresight) return `The target could not be looked at from here: ${foresight.problem}`;
  const { roles, extensions } = foresight;
  if (roles.length + extensions.length === 0)
    return 'The target has all roles and extensions that the backup needs.';
  const parts = [
    ...(roles.length === 0 ? [] : [`roles ${roles.join(', ')}`]),
    ...(extensions.length === 0 ? [] : [`extensions ${extensions.join(', ')}`]),
  ];
  return `The target lacks ${parts.join(', and ')}: create them, or restore with --tolerate.`;
}
