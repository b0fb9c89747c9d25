import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import { type Check, check } from '../../model/check.ts';
import { permanent } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { type CommonOptions, EXIT, emit, print, runCommand } from '../output.ts';

export function register(program: Command): void {
  program
    .command('doctor')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'check from here what backups and restores need: repository, source, programs, privileges, Temporal, and whether the newest schema can be restored',
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast doctor plans/orders.yaml')
    .action((argument: string, options: CommonOptions) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: CommonOptions) {
  const { resolvePlan } = await import('../plan-files.ts');
  const { checkRepository } = await import('../repository-checks.ts');
  const plan = await resolvePlan(argument);
  const checks = [
    ...(await checkRepository(plan.pipeline.repository)),
    ...(await checkSource(plan)),
    ...(await checkNewestSchema(plan)),
    ...(await checkTemporal(plan)),
  ];
  const healthy = checks.every(({ ok }) => ok);
  if (options.json) emit({ plan: plan.name, healthy, checks });
  else {
    for (const { name, ok, detail, remedy } of checks) {
      print(`${ok ? '✔' : '✘'} ${name}: ${detail}`);
      if (remedy !== undefined) print(`    → ${remedy}`);
    }
  }
  return healthy ? EXIT.done : EXIT.failed;
}

async function checkSource(plan: CompiledPlan): Promise<readonly Check[]> {
  const { engineOf } = await import('../../activities/engines.ts');
  const { resolveSecret } = await import('../../activities/secrets.ts');
  const { checkUniverse } = await import('../../activities/universe/check.ts');
  const { source } = plan.pipeline;
  const verb = {
    signal: AbortSignal.timeout(60_000),
    attempt: 1,
    heartbeat: () => undefined,
    log: () => undefined,
    secret: resolveSecret,
  };
  if (source.engine === 'universe') {
    const checks = await checkUniverse(verb, source, agentOf);
    if (plan.pointTime === undefined) return checks;
    const { checkHistory } = await import('../../activities/universe/in-cluster/check.ts');
    return [...checks, await checkHistory(verb, source)];
  }
  return engineOf(source).check(verb, source);
}

/** Whether the newest backup's schema can be made here; nothing where there is no backup, or no logical one of YSQL. */
async function checkNewestSchema(plan: CompiledPlan): Promise<readonly Check[]> {
  const { source, repository } = plan.pipeline;
  if (source.engine !== 'ysql' || source.contents === 'data') return [];
  const { readCatalogue } = await import('../../repository/catalogue.ts');
  const { withStore } = await import('../backups.ts');
  const { checkSchema } = await import('../foresight.ts');
  let backup: string | undefined;
  const newest = await check('newest backup', () =>
    withStore(repository, async (store) => {
      const { entries } = await readCatalogue(store, repository, plan.name);
      backup = entries[0]?.backup;
      return backup ?? 'none yet';
    }),
  );
  // What is wrong with the repository is said by its own checks.
  if (backup === undefined) return newest.ok ? [] : [newest];
  const named = backup;
  return [await check('schema can be restored', () => checkSchema(plan, named))];
}

/** Whether an agent polls the queue of a tablet server; undefined where Temporal isn't configured. */
async function agentOf(address: string): Promise<boolean | undefined> {
  const { connectClient, temporalIsConfigured } = await import('../../worker/connection.ts');
  const { nodeQueue } = await import('../../model/task-queue.ts');
  const { isPolled } = await import('../pollers.ts');
  if (!temporalIsConfigured()) return undefined;
  const { client, connection } = await connectClient();
  try {
    return await isPolled(client, nodeQueue(address), 'activities');
  } finally {
    await connection.close();
  }
}

/** The server, its namespace and search attributes, which any command registers that may; then the workers. */
async function checkTemporal(plan: CompiledPlan): Promise<readonly Check[]> {
  const { connectClient, temporalIsConfigured } = await import('../../worker/connection.ts');
  const { registerSearchAttributes } = await import('../../worker/search-attributes.ts');
  const { pruneQueue } = await import('../../workflows/messages.ts');
  const { hasOwnCredentials } = await import('../../planning/prune.ts');
  if (!temporalIsConfigured()) {
    const detail = 'not configured: commands start their own (TEMPORAL_ADDRESS names another)';
    return [{ name: 'Temporal', ok: true, detail }];
  }
  let connected: Awaited<ReturnType<typeof connectClient>> | undefined;
  const server = await check('Temporal', async () => {
    connected = await connectClient();
    const { connection, target } = connected;
    await registerSearchAttributes(connection, target.namespace);
    return `${target.address}, namespace ${target.namespace}`;
  });
  if (connected === undefined) return [server];
  const { client, connection, target } = connected;
  try {
    if (!server.ok) return [server];
    const { taskQueue } = target;
    const worker = await checkWorker(client, taskQueue, 'workflows', '');
    if (!hasOwnCredentials(plan.pipeline.repository)) return [server, worker];
    return [server, worker, await checkWorker(client, pruneQueue(taskQueue), 'activities', ' --only prune')];
  } finally {
    await connection.close();
  }
}

function checkWorker(
  client: Client,
  taskQueue: string,
  type: 'workflows' | 'activities',
  options: string,
): Promise<Check> {
  return check(`a worker polls ${taskQueue}`, async () => {
    const { isPolled } = await import('../pollers.ts');
    if (await isPolled(client, taskQueue, type)) return 'yes';
    throw permanent(
      'NO_WORKER',
      'none does, so runs wait',
      `Start one, with the plan's secrets: holdfast worker${options}.`,
    );
  });
}
