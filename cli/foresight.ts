import type { RestoreContext, RestoreEngine, TargetLacks } from '../engines/engine.ts';
import type { LogicalRestoreRequest } from '../model/backup.ts';
import { rowSource } from '../model/engine-kind.ts';
import { messageOf, permanent } from '../model/errors.ts';
import { describeLeftOut } from '../model/left-out-text.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { backupFolder } from '../repository/layout.ts';
import { readDataObjects, readManifest } from '../repository/manifest.ts';
import { withStore } from './backups.ts';
import { newRestoreId } from './runs.ts';

const PATIENCE_MS = 10 * 60_000;

/** What a restore would miss on the target server, or why the server could not be asked from here. */
export type TargetForesight = TargetLacks | { readonly problem: string };

/** Checks the target of a restore from this machine, with its environment. Undefined for plans whose target it can't check. */
export async function foreseeTarget(
  plan: CompiledPlan,
  backup: string,
  wishes: Pick<Partial<LogicalRestoreRequest>, 'connection' | 'owner' | 'globals'>,
): Promise<TargetForesight | undefined> {
  const { lacks } = await restoreEngineOf(plan);
  if (lacks === undefined) return undefined;
  try {
    return await withRestoreContext(plan, backup, wishes, lacks);
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

/** Whether the plan's backups hold a schema that its engine can try. */
export async function canTrySchema(plan: CompiledPlan): Promise<boolean> {
  const source = rowSource(plan.pipeline.source);
  if (source === undefined || source.contents === 'data') return false;
  return (await restoreEngineOf(plan)).trySchema !== undefined;
}

/** Creates the schema of a backup, without rows, in a scratch database of the source's server. Throws `SCHEMA_REFUSED` (permanent). */
export async function checkSchema(plan: CompiledPlan, backup: string): Promise<string> {
  const { trySchema } = await restoreEngineOf(plan);
  if (trySchema === undefined) throw new TypeError(`the engine of ${plan.name} can't try a schema`);
  const { leftOut = [] } = await withRestoreContext(
    plan,
    backup,
    { contents: 'schema', scratch: true, tolerate: true },
    trySchema,
  );
  if (leftOut.length === 0) return `the schema of ${backup} can be created here, whole`;
  throw permanent(
    'SCHEMA_REFUSED',
    `of the schema of ${backup}, this server refuses ${leftOut.length}: ${leftOut.slice(0, 10).map(describeLeftOut).join('; ')}`,
    'Mend what is named; until then restore with --tolerate. holdfast verify --level schema lists all of it.',
  );
}

/** A universe's has none of the verbs that are asked for here. */
async function restoreEngineOf(plan: CompiledPlan): Promise<Pick<RestoreEngine, 'lacks' | 'trySchema'>> {
  const source = rowSource(plan.pipeline.source);
  if (source === undefined) return {};
  const { engineOf } = await import('../engines/registry.ts');
  return engineOf(source).restore;
}

async function withRestoreContext<T>(
  plan: CompiledPlan,
  backup: string,
  wishes: Partial<LogicalRestoreRequest>,
  work: (context: RestoreContext) => Promise<T>,
): Promise<T> {
  const { resolveSecret } = await import('../engines/resolve-secret.ts');
  const { repository } = plan.pipeline;
  const source = rowSource(plan.pipeline.source);
  if (source === undefined) throw new TypeError('a universe has no restore of this kind');
  const ref = { repository, plan: plan.name, backup };
  return await withStore(repository, async (store) => {
    const manifest = await readManifest(store, ref);
    return await work({
      signal: AbortSignal.timeout(PATIENCE_MS),
      attempt: 1,
      heartbeat: () => undefined,
      log: () => undefined,
      secret: resolveSecret,
      ref,
      store,
      manifest,
      folder: backupFolder(ref),
      dataObjects: () => Array.fromAsync(readDataObjects(store, manifest)),
      request: {
        restore: `doctor_${newRestoreId(new Date()).replaceAll(/\W/g, '')}`,
        from: ref,
        source,
        into: {},
        replace: false,
        tables: { include: [], exclude: [] },
        contents: 'all',
        globals: false,
        check: 'rows',
        scratch: false,
        parallelism: 1,
        ...wishes,
      },
    });
  });
}
