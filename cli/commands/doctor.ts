import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import { type Check, check } from '../../model/check.ts';
import { defined } from '../../model/defined.ts';
import { archiveOf, type DoctorInput, type QueueAnswer } from '../../model/doctor.ts';
import { permanent } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { Interrupts } from '../interrupts.ts';
import { type CommonOptions, EXIT, emit, print, runCommand } from '../output.ts';
import type { Session } from '../session.ts';

interface Options extends CommonOptions {
  readonly here?: boolean;
}

export function register(program: Command): void {
  program
    .command('doctor')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'have the plan’s own workers check what a backup needs: repository, source, programs, privileges, receivers, Temporal',
    )
    .option('--here', 'check from this machine instead, with this shell’s environment')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExamples:\n  holdfast doctor plans/orders.yaml\n  holdfast doctor orders --here')
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options) {
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const plan = await resolvePlan(argument);
  const answers = options.here ? await lookFromHere(plan) : await askThere(plan);
  const checks = answers.flatMap(({ checks: found }) => found);
  const healthy = checks.every(({ ok }) => ok);
  if (options.json) {
    const workers = answers.flatMap(({ queue, worker }) =>
      worker === undefined ? [] : [{ queue, ...worker }],
    );
    emit({ plan: plan.name, healthy, checks, workers });
  } else {
    for (const answer of answers) show(answer);
  }
  return healthy ? EXIT.done : EXIT.failed;
}

function show({ queue, worker, checks }: QueueAnswer): void {
  if (checks.length === 0) return;
  if (worker !== undefined)
    print(`worker ${worker.identity} (task queue ${queue}, Holdfast ${worker.version}):`);
  else if (queue === '') print('this machine:');
  for (const one of onceEach(checks)) for (const line of linesOf(one)) print(line);
}

/** If several checks met the same failure, such as a server that doesn't answer, only the first one reports it in full. Pure. */
export function onceEach(checks: readonly Check[]): readonly Check[] {
  return checks.map((one, index) => {
    const { name, ok, detail } = one;
    const first = ok ? undefined : checks.slice(0, index).find((each) => !each.ok && each.detail === detail);
    return first === undefined ? one : { name, ok, detail: `the same as of "${first.name}"` };
  });
}

/** One line for the finding, and one for the remedy. A line break in a name is escaped, so it makes no further line. Pure. */
export function linesOf({ name, ok, detail, remedy }: Check): readonly string[] {
  const found = `${ok ? '✔' : '✘'} ${name}: ${detail}`;
  return (remedy === undefined ? [found] : [found, `    → ${remedy}`]).map(escaped);
}

/** Control characters as JSON writes them. */
function escaped(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

/** Stands for checks that this command made itself, not a worker. */
const FOUND_HERE = { queue: '' };

async function lookFromHere(plan: CompiledPlan): Promise<readonly QueueAnswer[]> {
  const { checkFromHere } = await import('../doctor-here.ts');
  const { connectClient, temporalIsConfigured } = await import('../../worker/connection.ts');
  const { registerSearchAttributes } = await import('../../worker/search-attributes.ts');
  const checks = [...(await checkFromHere(plan))];
  if (!temporalIsConfigured()) {
    const detail = 'not configured: commands start their own (TEMPORAL_ADDRESS names another)';
    return [{ ...FOUND_HERE, checks: [...checks, { name: 'Temporal', ok: true, detail }] }];
  }
  let connected: Awaited<ReturnType<typeof connectClient>> | undefined;
  const server = await check('Temporal', async () => {
    connected = await connectClient();
    const { connection, target } = connected;
    await registerSearchAttributes(connection, target.namespace);
    return `${target.address}, namespace ${target.namespace}`;
  });
  checks.push(server);
  if (connected === undefined) return [{ ...FOUND_HERE, checks }];
  try {
    if (server.ok) checks.push(...(await checkWorkers(connected.client, connected.target.taskQueue, plan)));
    return [{ ...FOUND_HERE, checks }];
  } finally {
    await connected.connection.close();
  }
}

async function askThere(plan: CompiledPlan): Promise<readonly QueueAnswer[]> {
  const { openSession } = await import('../session.ts');
  const { catchInterrupts } = await import('../interrupts.ts');
  // Catch interrupts from now on, so that an interrupt also stops an embedded server that is about to start.
  const interrupts = catchInterrupts();
  let session: Session | undefined;
  const server = await check('Temporal', async () => {
    session = await openSession({ plan });
    return session.server;
  });
  if (session === undefined) {
    interrupts.stop();
    return [{ ...FOUND_HERE, checks: [server] }];
  }
  try {
    const { client, taskQueue, isEmbedded } = session;
    const workers = isEmbedded ? [] : await checkWorkers(client, taskQueue, plan);
    const isThere = isEmbedded || workers.some(({ name, ok }) => ok && name === polls(taskQueue));
    const ours = { ...FOUND_HERE, checks: [server, ...workers] };
    if (!isThere) return [ours];
    return [...(await answersOf(session, interrupts, plan, workers)), ours];
  } finally {
    await session.end();
    interrupts.stop();
  }
}

/** The workers' answers, or why there are none. */
async function answersOf(
  session: Session,
  interrupts: Interrupts,
  plan: CompiledPlan,
  polled: readonly Check[],
): Promise<readonly QueueAnswer[]> {
  const { askWorkers } = await import('../doctor-run.ts');
  const { pruneQueue, readPointQueue } = await import('../../model/task-queue.ts');
  const { hasOwnCredentials } = await import('../../planning/prune.ts');
  const { repository, source } = plan.pipeline;
  const isPolled = (queue: string) =>
    session.isEmbedded || polled.some(({ name, ok }) => ok && name === polls(queue));
  const queues = { 'read-points': readPointQueue(session.taskQueue), prune: pruneQueue(session.taskQueue) };
  const duties = hasOwnCredentials(repository)
    ? (['read-points', 'prune'] as const)
    : (['read-points'] as const);
  const input: DoctorInput = {
    plan: plan.name,
    repository,
    source,
    history: plan.pointTime?.inCluster !== undefined,
    ...archiveOf(plan),
    ...defined({ notify: plan.notify }),
    beside: duties.filter((duty) => isPolled(queues[duty])),
  };
  let answers: readonly QueueAnswer[] = [];
  const asked = await check('the workers answer', async () => {
    answers = (await askWorkers(session, interrupts, plan.name, input)).answers;
    return 'yes';
  });
  return asked.ok ? answers : [{ ...FOUND_HERE, checks: [asked] }];
}

const polls = (taskQueue: string): string => `a worker polls ${taskQueue}`;

/** Whether workers poll the plan's task queue, the one of read points, and those of prunes with credentials of their own and of an archive of changes. */
async function checkWorkers(
  client: Client,
  taskQueue: string,
  plan: CompiledPlan,
): Promise<readonly Check[]> {
  const { pruneQueue, readPointQueue } = await import('../../model/task-queue.ts');
  const { hasOwnCredentials } = await import('../../planning/prune.ts');
  const checks = [
    await checkWorker(client, taskQueue, 'workflows', ''),
    await checkWorker(client, readPointQueue(taskQueue), 'activities', ' --only read-points'),
  ];
  if (hasOwnCredentials(plan.pipeline.repository)) {
    checks.push(await checkWorker(client, pruneQueue(taskQueue), 'activities', ' --only prune'));
  }
  if (plan.pointTime?.archive !== undefined) {
    const { archiveQueue } = await import('../../workflows/archive-messages.ts');
    checks.push(await checkWorker(client, archiveQueue(taskQueue), 'activities', ' --only archive'));
  }
  return checks;
}

function checkWorker(
  client: Client,
  taskQueue: string,
  type: 'workflows' | 'activities',
  options: string,
): Promise<Check> {
  return check(polls(taskQueue), async () => {
    const { isPolled } = await import('../../activities/pollers.ts');
    if (await isPolled(client, taskQueue, type)) return 'yes';
    throw permanent(
      'NO_WORKER',
      'none does, so runs wait',
      `Start one, with the plan's secrets: holdfast worker${options}. Without one, look from this machine: holdfast doctor PLAN --here.`,
    );
  });
}
