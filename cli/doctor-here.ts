import { checkSource } from '../activities/check-activities.ts';
import { pollersOf } from '../activities/pollers.ts';
import { checkRepository } from '../engines/repository-checks.ts';
import { resolveSecret } from '../engines/resolve-secret.ts';
import { type Check, check } from '../model/check.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { type AgentPoller, nodeQueue, parseAgentIdentity } from '../model/task-queue.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { connectClient, temporalIsConfigured } from '../worker/connection.ts';
import { withStore } from './backups.ts';
import { canTrySchema, checkSchema } from './foresight.ts';

/** The checks of `holdfast doctor --here`, made from this process, as a worker with this environment would make them. */
export async function checkFromHere(plan: CompiledPlan): Promise<readonly Check[]> {
  const { source, repository } = plan.pipeline;
  const verb = {
    signal: new AbortController().signal,
    attempt: 1,
    heartbeat: () => undefined,
    log: () => undefined,
    secret: resolveSecret,
  };
  const options = { history: plan.pointTime !== undefined, agentsOf };
  return [
    ...(await checkRepository(repository)),
    ...(await checkSource(verb, source, options)),
    ...(await checkNewestSchema(plan)),
  ];
}

/** Whether the newest backup's schema can be made here; nothing where there is no backup, or no schema that can be tried. */
async function checkNewestSchema(plan: CompiledPlan): Promise<readonly Check[]> {
  const { repository } = plan.pipeline;
  if (!(await canTrySchema(plan))) return [];
  let backup: string | undefined;
  const newest = await check('newest backup', () =>
    withStore(repository, async (store) => {
      const { entries } = await readCatalogue(store, repository, plan.name);
      backup = entries[0]?.backup;
      return backup ?? 'none yet';
    }),
  );
  // The repository's own checks report what is wrong with it.
  if (backup === undefined) return newest.ok ? [] : [newest];
  const named = backup;
  return [await check('schema can be restored', () => checkSchema(plan, named))];
}

/** The pollers of a tablet server's queue; undefined where Temporal isn't configured. */
async function agentsOf(address: string): Promise<readonly AgentPoller[] | undefined> {
  if (!temporalIsConfigured()) return undefined;
  const { client, connection } = await connectClient();
  try {
    return (await pollersOf(client, nodeQueue(address), 'activities')).map(parseAgentIdentity);
  } finally {
    await connection.close();
  }
}
