import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { formatCount } from '../../model/amounts.ts';
import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { DAY_MS } from '../../model/time.ts';
import type { nextRuns } from '../../planning/next-runs.ts';
import type { DesiredSchedule } from '../../planning/schedules.ts';
import type { SimulatedDay } from '../../planning/simulate.ts';
import { HERE } from '../here.ts';
import {
  type CommonOptions,
  EXIT,
  type ExitCode,
  emit,
  print,
  runCommand,
  say,
  UsageError,
} from '../output.ts';

const RUNS_AT_ONCE = 500;
const RUNS_AT_MOST = 50_000;

interface Options extends CommonOptions {
  readonly days: number;
  readonly svg?: string;
  readonly empty?: boolean;
  readonly cron?: string;
}

export function register(program: Command): void {
  const retention = program.command('retention').description('what a plan’s retention will do');
  retention
    .command('simulate')
    .argument('<plan>', 'a plan’s name or file')
    .description('play the plan’s schedule and retention ahead: how many backups, how much, how far back')
    .option('--days <n>', 'how far ahead', days, 365)
    .option('--svg <file>', 'also draw it')
    .option('--empty', 'begin without the backups that the repository has now')
    .option('--cron <line>', 'when backups are made, in UTC, instead of the plan’s schedule')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast retention simulate plans/orders.yaml --svg year.svg')
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options): Promise<ExitCode> {
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const plan = await resolvePlan(argument);
  const simulated = await simulate(plan, options);
  if (options.svg !== undefined) await draw(plan, simulated, options.svg);
  if (options.json) {
    const days = simulated.map(({ agesDays: _agesDays, ...day }) => day);
    emit({ plan: plan.name, days, ...defined({ svg: options.svg }) });
    return EXIT.done;
  }
  await table(simulated);
  return EXIT.done;
}

async function simulate(plan: CompiledPlan, options: Options): Promise<readonly SimulatedDay[]> {
  const { DEFAULT_GRACE_MS } = await import('../../activities/prune.ts');
  const next = await import('../../planning/next-runs.ts');
  const { pruneTimesOf } = await import('../../planning/prune.ts');
  const { simulateRetention } = await import('../../planning/simulate.ts');
  const { readCatalogue } = await import('../../repository/catalogue.ts');
  const { withStore } = await import('../../library/backups.ts');
  const { retention } = plan;
  const prunes = pruneTimesOf(plan);
  if (retention === undefined || prunes === undefined) {
    throw new UsageError(
      `the plan ${plan.name} has no retention: every backup is kept`,
      'Give it one, e.g. `retention: { keepLast: 3, keepDaily: 7 }`.',
    );
  }
  const backups = await backupTimes(plan, options.cron);
  const { repository } = plan.pipeline;
  const entries = options.empty
    ? []
    : (await withStore(HERE, repository, (store) => readCatalogue(store, repository, plan.name))).entries;
  const from = new Date();
  const end = new Date(from.getTime() + options.days * DAY_MS);
  const until = (times: Times) => timesUntil(times, from, end, next.nextRuns);
  const size = entries[0]?.storedBytes;
  return simulateRetention({
    entries,
    policy: retention,
    backups: until(backups),
    prunes: until(prunes),
    from,
    days: options.days,
    ...defined({ storedBytes: size }),
    defaultGraceMs: DEFAULT_GRACE_MS,
    ...(options.json ? {} : { onDay: progressOf(options.days) }),
  });
}

/** How often a simulation reports its progress. One that ends sooner reports none. */
const REPORTED_EVERY_MS = 2_000;

/** Reports on stderr how far a long simulation is. It shows no remaining time, since later days have more backups and take longer. */
function progressOf(days: number): (played: number) => void {
  let reportedMs = Date.now();
  return (played) => {
    if (Date.now() - reportedMs < REPORTED_EVERY_MS) return;
    reportedMs = Date.now();
    say(`Played ${formatCount(played)} of ${formatCount(days)} days …`);
  };
}

type Times = Pick<DesiredSchedule, 'cron' | 'timezone'>;

/** All runs up to `end`, computed in bounded batches. */
function timesUntil(times: Times, from: Date, end: Date, next: typeof nextRuns): readonly Date[] {
  const found: Date[] = [];
  for (let after = from; ; ) {
    const runs = next(times, after, RUNS_AT_ONCE);
    found.push(...runs.filter((run) => run <= end));
    const last = runs.at(-1);
    if (last === undefined || last >= end || runs.length < RUNS_AT_ONCE) return found;
    if (found.length > RUNS_AT_MOST) {
      throw new UsageError(
        `${Math.round((end.getTime() - from.getTime()) / DAY_MS)} days ahead have more than ${formatCount(RUNS_AT_MOST)} runs of ${times.cron.join(' and ')}`,
        'Look less far ahead with --days.',
      );
    }
    after = last;
  }
}

async function backupTimes(plan: CompiledPlan, line: string | undefined): Promise<Times> {
  if (line !== undefined) {
    const { readCron } = await import('../../compiler/cron.ts');
    const reading = readCron(line);
    if ('problem' in reading) throw new UsageError(reading.problem.message, reading.problem.remedy);
    return { cron: [reading.value], timezone: 'UTC' };
  }
  if (plan.schedule !== undefined) return plan.schedule;
  throw new UsageError(
    `the plan ${plan.name} has no schedule, so it is not known when backups are made`,
    'Say it with --cron, e.g. --cron "0 2 * * *", or give the plan a schedule.',
  );
}

async function draw(plan: CompiledPlan, simulated: readonly SimulatedDay[], file: string): Promise<void> {
  const { simulationSvg } = await import('../../planning/simulation-svg.ts');
  try {
    await writeFile(file, simulationSvg(plan.name, simulated));
  } catch (error) {
    throw permanent(
      'FILE_NOT_WRITTEN',
      `${file} can't be written: ${error instanceof Error ? error.message : error}`,
      'Name a file in a folder that exists and that you may write to.',
      error,
    );
  }
  say(`drawn into ${file}`);
}

/** A table with rows for the first day, each week of the first month, each month, and the last day. */
async function table(simulated: readonly SimulatedDay[]): Promise<void> {
  const { formatBytes } = await import('../../model/amounts.ts');
  print('day          backups  marked  deleted      stored  reaches back to');
  let deleted = 0;
  for (const [index, day] of simulated.entries()) {
    deleted += day.deleted;
    const count = index + 1;
    const shown =
      count === 1 || count === simulated.length || (count <= 28 ? count % 7 === 0 : count % 30 === 0);
    if (!shown) continue;
    print(
      `${day.at.slice(0, 10)}  ${String(day.backups).padStart(8)}${String(day.marked).padStart(8)}` +
        `${String(deleted).padStart(9)}${(day.storedBytes === undefined ? '' : formatBytes(day.storedBytes)).padStart(12)}` +
        `  ${day.oldest?.slice(0, 16).concat('Z') ?? 'nothing'}`,
    );
    deleted = 0;
  }
}

function days(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 3_650) {
    throw new InvalidArgumentError('write a whole number from 1 to 3650');
  }
  return value;
}
