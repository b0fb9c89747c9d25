import type { ArchiveStanding } from '../model/archive-standing.ts';
import type { Catalogue } from '../model/recovery.ts';
import { type Standing, standingOf } from '../planning/standing.ts';

/** A plan with metrics. */
interface MeasuredPlan {
  readonly plan: string;
  readonly engine: string;
  readonly repository: string;
  readonly paused: boolean;
  /** How many messages its entity has refused. */
  readonly refused: number;
}

/** Where the numbers come from. */
export interface PlanSources {
  /** The plans that exist now. Throws where Temporal can't be asked. */
  plans(): Promise<
    readonly (MeasuredPlan & {
      catalogue(): Promise<Catalogue>;
      /** Absent: the plan has no archive of changes. */
      readonly archive?: () => Promise<readonly ArchiveStanding[]>;
    })[]
  >;
}

/** How many plans are read at once. Storage may be slow, and one plan's must not hold up the others for long. */
const PLANS_AT_ONCE = 4;

interface Reading {
  readonly plan: MeasuredPlan;
  readonly standing: Standing | undefined;
  readonly archive: readonly ArchiveStanding[];
  readonly readAtMs: number | undefined;
  readonly isUp: boolean;
}

/**
 * Gauges of every plan, computed from its repository and not from the ends of workflows. So they are also right after a backup was deleted
 * from the bucket, and on a worker that has just started.
 */
export class PlanMetrics {
  #readings = new Map<string, Reading>();
  #isUp = false;
  readonly #sources: PlanSources;
  readonly #report: (problem: string) => void;

  constructor(sources: PlanSources, report: (problem: string) => void) {
    this.#sources = sources;
    this.#report = report;
  }

  /** Reads every plan. The metrics drop a plan that was removed; a plan whose repository doesn't answer keeps its last values. */
  async refresh(): Promise<void> {
    let plans: Awaited<ReturnType<PlanSources['plans']>>;
    try {
      plans = await this.#sources.plans();
      this.#isUp = true;
    } catch (error) {
      this.#isUp = false;
      this.#report(`the plans can't be listed for metrics: ${String(error)}`);
      return;
    }
    const known = this.#readings;
    const readings = new Map<string, Reading>();
    const queue = [...plans];
    const worker = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        readings.set(next.plan, await this.#read(next, known.get(next.plan)));
      }
    };
    await Promise.all(Array.from({ length: PLANS_AT_ONCE }, worker));
    this.#readings = readings;
  }

  async #read(
    source: Awaited<ReturnType<PlanSources['plans']>>[number],
    last: Reading | undefined,
  ): Promise<Reading> {
    const { catalogue: look, archive: lookAtArchive, ...plan } = source;
    try {
      const catalogue = await look();
      return {
        plan,
        standing: standingOf(catalogue),
        archive: (await lookAtArchive?.()) ?? [],
        readAtMs: Date.parse(catalogue.readAt),
        isUp: true,
      };
    } catch (error) {
      this.#report(`the repository of ${plan.plan} can't be read for metrics: ${String(error)}`);
      const { standing, readAtMs, archive = [] } = last ?? {};
      return { plan, standing, archive, readAtMs, isUp: false };
    }
  }

  /** The metrics in Prometheus's text format (version 0.0.4). */
  render(nowMs: number): string {
    const readings = [...this.#readings.values()];
    const own = [
      metric('holdfast_plans', 'Plans that this worker knows of.', [{ labels: {}, value: readings.length }]),
      metric('holdfast_plans_listed', 'Whether Temporal could be asked for the plans at the last look.', [
        { labels: {}, value: this.#isUp ? 1 : 0 },
      ]),
    ];
    const ofPlans = [...GAUGES, ...ARCHIVE_GAUGES].map(({ name, help, of }) =>
      metric(
        name,
        help,
        readings.flatMap((reading) => of(reading, nowMs)),
      ),
    );
    return [...own, ...ofPlans].join('');
  }
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Gauge {
  readonly name: string;
  readonly help: string;
  of(reading: Reading, nowMs: number): readonly Sample[];
}

/** A gauge with one value for each plan that has one. */
function gauge(
  name: string,
  help: string,
  read: (reading: Reading & { readonly standing: Standing }, nowMs: number) => number | undefined,
): Gauge {
  return {
    name,
    help,
    of: (reading, nowMs) => {
      const { standing, plan } = reading;
      if (standing === undefined) return [];
      const value = read({ ...reading, standing }, nowMs);
      return value === undefined ? [] : [{ labels: { plan: plan.plan }, value }];
    },
  };
}

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
const age = (ms: number | undefined, nowMs: number): number | undefined =>
  ms === undefined ? undefined : (nowMs - ms) / 1000;
/** Zero means that nothing is locked, not a time in 1970. */
const horizon = (ms: number | undefined, nowMs: number): number | undefined =>
  ms === undefined || ms === 0 ? ms : (ms - nowMs) / 1000;

const GAUGES: readonly Gauge[] = [
  {
    name: 'holdfast_plan_info',
    help: 'Always 1; what the plan is.',
    of: ({ plan: { plan, engine, repository } }) => [{ labels: { plan, engine, repository }, value: 1 }],
  },
  {
    name: 'holdfast_plan_paused',
    help: 'Whether the plan is paused.',
    of: ({ plan: { plan, paused } }) => [{ labels: { plan }, value: paused ? 1 : 0 }],
  },
  {
    name: 'holdfast_plan_refused_requests',
    help: 'Messages that the plan refused since it was first applied.',
    of: ({ plan: { plan, refused } }) => [{ labels: { plan }, value: refused }],
  },
  {
    name: 'holdfast_repository_up',
    help: 'Whether the plan’s repository could be read at the last look.',
    of: ({ plan: { plan }, isUp }) => [{ labels: { plan }, value: isUp ? 1 : 0 }],
  },
  gauge('holdfast_catalogue_read_timestamp_seconds', 'When the repository was last read.', ({ readAtMs }) =>
    seconds(readAtMs),
  ),
  gauge('holdfast_backups', 'Backups in the repository.', ({ standing }) => standing.backups),
  gauge(
    'holdfast_backups_unusable',
    'Folders that hold no backup: unfinished, discarded, damaged.',
    ({ standing }) => standing.unusable,
  ),
  gauge(
    'holdfast_backups_damaged',
    'Backups in which the last verification found damage.',
    ({ standing }) => standing.damaged,
  ),
  gauge('holdfast_stored_bytes', 'Size of all backups as stored.', ({ standing }) => standing.storedBytes),
  gauge(
    'holdfast_first_recoverable_instant_timestamp_seconds',
    'The oldest instant that can be restored.',
    ({ standing }) => seconds(standing.oldestInstantMs),
  ),
  gauge(
    'holdfast_last_recoverable_instant_timestamp_seconds',
    'The newest instant that can be restored.',
    ({ standing }) => seconds(standing.newestInstantMs),
  ),
  gauge('holdfast_last_success_timestamp_seconds', 'When the newest backup was complete.', ({ standing }) =>
    seconds(standing.lastSuccessMs),
  ),
  gauge(
    'holdfast_last_backup_age_seconds',
    'Age of the newest instant that can be restored: what would be lost now.',
    ({ standing }, nowMs) => age(standing.newestInstantMs, nowMs),
  ),
  gauge(
    'holdfast_last_good_backup_age_seconds',
    'Age of the newest instant whose backup a verification found good.',
    ({ standing }, nowMs) => age(standing.lastGood?.instantMs, nowMs),
  ),
  gauge(
    'holdfast_lock_horizon_seconds',
    'How long a backup still stays locked with everything that it needs; 0 or less where none is. No sample where the plan locks nothing.',
    ({ standing }, nowMs) => horizon(standing.lockHorizonMs, nowMs),
  ),
  gauge('holdfast_last_verified_timestamp_seconds', 'When a backup was last verified.', ({ standing }) =>
    seconds(standing.lastVerifiedMs),
  ),
  gauge(
    'holdfast_last_good_verification_timestamp_seconds',
    'When the newest backup that is known to be good was found good.',
    ({ standing }) => seconds(standing.lastGood?.atMs),
  ),
  gauge(
    'holdfast_last_backup_rows',
    'Rows of the newest backup; no sample where they were not counted.',
    ({ standing }) => standing.newest?.rows ?? undefined,
  ),
  gauge(
    'holdfast_last_backup_bytes',
    'Data of the newest backup, before compression.',
    ({ standing }) => standing.newest?.bytes,
  ),
  gauge(
    'holdfast_last_backup_stored_bytes',
    'Size of the newest backup as stored.',
    ({ standing }) => standing.newest?.storedBytes,
  ),
  gauge('holdfast_last_backup_duration_seconds', 'How long the newest backup took.', ({ standing }) =>
    seconds(standing.newest?.durationMs),
  ),
  gauge('holdfast_last_drill_timestamp_seconds', 'When a drill was last done.', ({ standing }) =>
    seconds(standing.lastDrill?.atMs),
  ),
  {
    name: 'holdfast_last_drill_verdict',
    help: '1 for the verdict of the newest drill, 0 for the others.',
    of: ({ plan: { plan }, standing }) => {
      const found = standing?.lastDrill?.verdict;
      if (found === undefined) return [];
      return (['OK', 'FAILED', 'INCONCLUSIVE'] as const).map((verdict) => ({
        labels: { plan, verdict },
        value: verdict === found ? 1 : 0,
      }));
    },
  },
  gauge('holdfast_last_good_drill_timestamp_seconds', 'When a drill last ended well.', ({ standing }) =>
    seconds(standing.lastGoodDrill?.atMs),
  ),
  gauge(
    'holdfast_last_good_drill_restore_seconds',
    'How long the restore of the newest good drill took.',
    ({ standing }) => seconds(standing.lastGoodDrill?.restoreMs),
  ),
];

/** A gauge with one value for each database that a plan archives. */
function archiveGauge(
  name: string,
  help: string,
  read: (standing: ArchiveStanding, nowMs: number) => number | undefined,
): Gauge {
  return {
    name,
    help,
    of: ({ plan: { plan }, archive }, nowMs) =>
      archive.flatMap((standing) => {
        const value = read(standing, nowMs);
        return value === undefined ? [] : [{ labels: { plan, database: standing.database }, value }];
      }),
  };
}

const ARCHIVE_GAUGES: readonly Gauge[] = [
  archiveGauge(
    'holdfast_archive_begin_timestamp_seconds',
    'Where the newest part of the archive of changes without a gap begins.',
    ({ from }) => Date.parse(from) / 1000,
  ),
  archiveGauge(
    'holdfast_archive_end_timestamp_seconds',
    'Up to where changes are archived.',
    ({ to }) => Date.parse(to) / 1000,
  ),
  archiveGauge(
    'holdfast_archive_lag_seconds',
    'How far the archive of changes is behind now; an idle source moves it once a minute.',
    ({ to }, nowMs) => Math.max(0, nowMs - Date.parse(to)) / 1000,
  ),
  archiveGauge(
    'holdfast_archive_proved_timestamp_seconds',
    'Up to where the archive of changes was proved last; no sample where nothing is proved.',
    ({ provedTo }) => (provedTo === undefined ? undefined : Date.parse(provedTo) / 1000),
  ),
  archiveGauge(
    'holdfast_archive_holes',
    'Holes in the archive of changes, stretches that a proof refuted included.',
    ({ holesInAll }) => holesInAll,
  ),
  {
    name: 'holdfast_archive_hole_timestamp_seconds',
    help: 'Where the newest hole of each kind begins, of the five newest holes of an archive of changes.',
    of: ({ plan: { plan }, archive }) =>
      archive.flatMap(({ database, holes }) =>
        // Of two holes of one kind, the later one is shown.
        [...new Map(holes.map(({ code = 'unknown', from }) => [code, from]))].map(([code, from]) => ({
          labels: { plan, database, code },
          value: Date.parse(from) / 1000,
        })),
      ),
  },
  archiveGauge('holdfast_archive_ended', 'Whether the archive of changes goes no further.', ({ isEnded }) =>
    isEnded ? 1 : 0,
  ),
];

function metric(name: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(({ labels, value }) => `${name}${labelText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join('')}`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
