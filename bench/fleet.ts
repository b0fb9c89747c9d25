import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../parts/ports.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { startTemporal } from '../parts/temporal.ts';
import { startHoldfast } from '../test/support/holdfast.ts';
import { eventually } from '../test/support/processes.ts';
import { cpuSeconds, endedChildrenCpuSeconds } from './stage.ts';

/** How long idle processes are watched. */
const IDLE_MS = 60_000;

const TEMPLATE = `apiVersion: holdfast/v1
kind: PlanTemplate
metadata: { name: nightly }
spec:
  parameters: { database: {}, minute: { type: number } }
  plan:
    source: { ysql: { connection: { env: FLEET_DATABASE_URL }, databases: { include: ["\${database}"] } } }
    repository: fleet
    schedule: { cron: "\${minute} 2 1 1 *" }
    retention: { keepDaily: 7, keepWeekly: 5, cron: "30 4 1 1 *" }
`;

/** Plans of one template, a file each. Their schedules fire once a year, so that nothing runs while they are measured. */
async function writeFleet(folder: string, plans: number): Promise<void> {
  await mkdir(join(folder, 'plans'));
  await writeFile(
    join(folder, 'plans', 'fleet.yaml'),
    `${TEMPLATE}---\napiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: fleet }\nspec: { directory: ${join(folder, 'backups')} }\n`,
  );
  for (let plan = 0; plan < plans; plan += 1) {
    await writeFile(
      join(folder, 'plans', `plan-${plan}.yaml`),
      `apiVersion: holdfast/v1\nkind: BackupPlan\nmetadata: { name: plan-${plan} }\nspec: { template: { name: nightly, parameters: { database: "db${plan}", minute: ${plan % 60} } } }\n`,
    );
  }
}

/**
 * Measures a fleet of plans: `validate`, the first `apply`, the comparison of an `apply` that changes nothing, what worker and server
 * take while nothing happens, and a look at the metrics. Server and worker run on this machine too.
 */
export async function benchFleet({
  plans,
  json,
}: {
  readonly plans: number;
  readonly json: boolean;
}): Promise<void> {
  const scratch = await createScratchFolder('fleet');
  await writeFleet(scratch.path, plans);
  const temporal = await startTemporal({ headless: true, dbFile: join(scratch.path, 'temporal.db') });
  const environment = {
    TEMPORAL_ADDRESS: temporal.address,
    HOLDFAST_STATE_DIR: join(scratch.path, 'state'),
    FLEET_DATABASE_URL: 'postgresql://127.0.0.1:1/none',
  };
  const worker = startHoldfast(['worker', '--json'], environment, scratch.path);
  const pids = { worker: worker.child.pid ?? 0, temporal: temporal.pid ?? 0 };
  const figures: Record<string, number> = { plans };
  const measure = async (name: string, ...args: readonly string[]): Promise<void> => {
    const startedAt = performance.now();
    const before = endedChildrenCpuSeconds() + cpuSeconds(pids.worker) + cpuSeconds(pids.temporal);
    const { code, stderr } = await startHoldfast(args, environment, scratch.path).end;
    if (code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${code}: ${stderr.slice(-2_000)}`);
    figures[`${name}Seconds`] = (performance.now() - startedAt) / 1_000;
    // Of the command, the worker and the server together: other work on the machine affects it less.
    figures[`${name}CpuSeconds`] =
      endedChildrenCpuSeconds() + cpuSeconds(pids.worker) + cpuSeconds(pids.temporal) - before;
  };
  try {
    await eventually('the worker polls', async () => worker.output() !== '');
    await measure('validate', 'validate', 'plans');
    await measure('diffOfNew', 'apply', 'plans', '--dry-run');
    await measure('apply', 'apply', 'plans', '--yes');
    await measure('diff', 'apply', 'plans', '--dry-run');
    // What apply has begun comes to rest first: each plan's entity looks into its repository.
    await sleep(IDLE_MS);
    const before = { worker: cpuSeconds(pids.worker), temporal: cpuSeconds(pids.temporal) };
    await sleep(IDLE_MS);
    figures.idleWorkerCores = ((cpuSeconds(pids.worker) - before.worker) * 1_000) / IDLE_MS;
    figures.idleTemporalCores = ((cpuSeconds(pids.temporal) - before.temporal) * 1_000) / IDLE_MS;
    figures.plansWithMetrics = await plansWithMetrics(plans, environment);
    if (json) process.stdout.write(`${JSON.stringify(figures)}\n`);
    for (const [name, value] of json ? [] : Object.entries(figures)) {
      process.stdout.write(`${name.padEnd(20)} ${Number.isInteger(value) ? value : value.toFixed(3)}\n`);
    }
  } finally {
    worker.child.kill('SIGTERM');
    await worker.end;
    await temporal.stop();
    await scratch.remove();
  }
}

/** How many plans a worker that starts now has metrics of, once it has looked at them. */
async function plansWithMetrics(plans: number, environment: NodeJS.ProcessEnv): Promise<number> {
  const address = `127.0.0.1:${await freePort()}`;
  const worker = startHoldfast(['worker', '--metrics', address, '--json'], environment);
  let found = 0;
  try {
    await eventually('the worker polls', async () => worker.output() !== '');
    await eventually('it has looked at every plan', async () => {
      const text = await (await fetch(`http://${address}/metrics`)).text();
      found = text.match(/^holdfast_plan_info\{/gm)?.length ?? 0;
      return found === plans;
    });
    return found;
  } finally {
    worker.child.kill('SIGTERM');
    await worker.end;
  }
}
