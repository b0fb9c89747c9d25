import type { Command } from 'commander';
import { type Check, check } from '../../model/check.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { type CommonOptions, EXIT, emit, print, runCommand } from '../output.ts';

export function register(program: Command): void {
  program
    .command('doctor')
    .argument('<plan>', 'a plan’s name or file')
    .description('check from here what a backup needs: repository, source, programs, privileges, Temporal')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast doctor plans/orders.yaml')
    .action((argument: string, options: CommonOptions) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: CommonOptions) {
  const { resolvePlan } = await import('../plan-files.ts');
  const plan = await resolvePlan(argument);
  const checks = [...(await checkRepository(plan)), ...(await checkSource(plan)), await checkTemporal()];
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

async function checkRepository(plan: CompiledPlan): Promise<readonly Check[]> {
  const { withStore } = await import('../backups.ts');
  const { sha256Hex } = await import('../../repository/sha256.ts');
  const { repository } = plan.pipeline;
  const probe = `doctor/${process.pid}-${Date.now()}`;
  return [
    await check('repository takes, gives back and deletes an object', () =>
      withStore(repository, async (store) => {
        const body = Buffer.from('holdfast doctor');
        const sha256 = sha256Hex(body);
        await store.put(probe, body, { sha256, ifAbsent: true });
        await store.get(probe, { expect: { sizeBytes: body.length, sha256 } });
        await store.delete([probe]);
        return store.description;
      }),
    ),
  ];
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

/** Whether an agent polls the queue of a tablet server; undefined where Temporal isn't configured. */
async function agentOf(address: string): Promise<boolean | undefined> {
  const { connectClient, temporalIsConfigured } = await import('../../worker/connection.ts');
  const { nodeQueue } = await import('../../model/task-queue.ts');
  if (!temporalIsConfigured()) return undefined;
  const { connection, target } = await connectClient();
  try {
    const { pollers } = await connection.workflowService.describeTaskQueue({
      namespace: target.namespace,
      taskQueue: { name: nodeQueue(address) },
      taskQueueType: ACTIVITY_QUEUE,
    });
    const oldest = Date.now() - POLLS_AGAIN_WITHIN_MS;
    // Temporal remembers a poller for minutes after it died.
    return (pollers ?? []).some(
      ({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000 > oldest,
    );
  } finally {
    await connection.close();
  }
}

/** One poll waits a minute for work. */
const POLLS_AGAIN_WITHIN_MS = 90_000;

/** `temporal.api.enums.v1.TaskQueueType`. */
const ACTIVITY_QUEUE = 2;

function checkTemporal(): Promise<Check> {
  return check('Temporal', async () => {
    const { connectClient, temporalIsConfigured } = await import('../../worker/connection.ts');
    if (!temporalIsConfigured())
      return 'not configured: commands start their own (TEMPORAL_ADDRESS names another)';
    const { connection, target } = await connectClient();
    await connection.close();
    return `${target.address}, namespace ${target.namespace}`;
  });
}
