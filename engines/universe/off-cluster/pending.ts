import { setTimeout as sleep } from 'node:timers/promises';
import { type CarriedHistory, historyMark, type ScheduledSnapshot } from '../../../model/carried-history.ts';
import { permanent } from '../../../model/errors.ts';
import type { PendingExport, PendingExports } from '../../../model/off-cluster.ts';
import type { UniverseSource } from '../../../model/pipeline.ts';
import { timeInId } from '../../../model/run-id.ts';
import { wasFinished } from '../../../repository/backups/manifest.ts';
import { readScheduleRecord } from '../../../repository/in-cluster.ts';
import { planFolder } from '../../../repository/layout.ts';
import type { SchemaSpan } from '../../../repository/off-cluster.ts';
import type { Store } from '../../../repository/store.ts';
import type { VerbContext } from '../../engine.ts';
import { type NamedSchedule, namedSchedules } from '../in-cluster/schedules.ts';
import { type DatabaseName, namesIn, openUniverse, type Universe } from '../universe.ts';
import { listSnapshots, type SnapshotObject } from '../yb-admin/snapshots.ts';
import { isoOfMicros } from '../yb-admin/times.ts';
import { spanAround, watchSchema } from './schema-watch.ts';

/** After so many failed backups of a snapshot it is given up: its time becomes a hole in the window. */
const ATTEMPTS = 5;
/** The most exports of one run, so that its history stays small. The next run makes the others. */
const EXPORTS_AT_ONCE = 50;
/**
 * A look at the schema vouches for the time until a second before it (clock differences), so a snapshot must be that old before it can be judged.
 * Milliseconds.
 */
const SETTLING_MS = 2_500;

/**
 * Lists the plan's scheduled snapshots that the repository lacks. The first of a schedule carries no history, so it isn't exported. Also looks at
 * the schema: how far back into a window a restore can go depends on these looks.
 *
 * @throws HoldfastError `OFF_CLUSTER_NO_SCHEDULE` (permanent)
 */
export async function pendingExports(
  verb: VerbContext,
  store: Store,
  plan: string,
  source: UniverseSource,
): Promise<PendingExports> {
  const universe = await openUniverse(verb, source);
  const all = await namedSchedules(universe.admin);
  const names = await Array.fromAsync(store.folders(planFolder(plan), verb));
  const exports: PendingExport[] = [];
  const givenUp: string[] = [];
  for (const name of namesIn(source)) {
    const schedule = await ownSchedule(verb, store, plan, name, all);
    for (const scheduled of await scheduledSnapshots(verb, store, plan, { universe, name, schedule })) {
      const tried = names.filter((backup) => backup.includes(historyMark(scheduled.snapshot)));
      if (await isExported(verb, store, plan, tried)) continue;
      if (tried.length >= ATTEMPTS) givenUp.push(scheduled.snapshot);
      else exports.push({ backup: backupName(scheduled, tried.length), scheduled });
    }
  }
  return { exports: exports.slice(0, EXPORTS_AT_ONCE), givenUp: givenUp.slice(0, EXPORTS_AT_ONCE) };
}

/** A new name for each attempt, since a failed backup leaves a tombstone under its name. */
function backupName({ snapshot }: ScheduledSnapshot, tried: number): string {
  return `${timeInId(new Date().toISOString())}${historyMark(snapshot)}${tried === 0 ? '' : `-${tried}`}`;
}

async function isExported(
  { signal }: VerbContext,
  store: Store,
  plan: string,
  tried: readonly string[],
): Promise<boolean> {
  for (const backup of tried) {
    // The tombstone of a failed export stands where its manifest would, and means that it is to be made again.
    if (await wasFinished(store, { plan, backup }, { signal })) return true;
  }
  return false;
}

async function ownSchedule(
  verb: VerbContext,
  store: Store,
  plan: string,
  { api, name }: DatabaseName,
  all: readonly NamedSchedule[],
): Promise<NamedSchedule> {
  const namespace = `${api}.${name}`;
  const record = await readScheduleRecord(store, plan, namespace, verb);
  const found = all.find(({ id }) => id === record?.schedule);
  if (found !== undefined) return found;
  throw permanent(
    'OFF_CLUSTER_NO_SCHEDULE',
    `${namespace} has no snapshot schedule of plan ${plan}, so there is no history to export`,
    'Apply the plan (holdfast apply): it makes the schedule, or says why it can’t.',
  );
}

interface Scheduled {
  readonly universe: Universe;
  readonly name: DatabaseName;
  readonly schedule: NamedSchedule;
}

/** The snapshots that are complete and have a predecessor, oldest first, each with what is known of its history. */
async function scheduledSnapshots(
  verb: VerbContext,
  store: Store,
  plan: string,
  { universe, name, schedule }: Scheduled,
): Promise<readonly ScheduledSnapshot[]> {
  const details = await listSnapshots(universe.admin, { details: true });
  const complete = new Map(
    details.flatMap(({ id, state, objects = [] }) => (state === 'COMPLETE' ? [[id, objects] as const] : [])),
  );
  const newest = schedule.snapshots.at(-1);
  if (newest !== undefined) await settle(verb, newest.timeMicros);
  const ids = schedule.snapshots.map(({ id }) => id);
  const { spans } = await watchSchema({ verb, store, plan, universe, name, snapshots: ids });
  const lookedUntil = spans.at(-1)?.until ?? '';
  return schedule.snapshots.flatMap(({ id, timeMicros, previousMicros }): readonly ScheduledSnapshot[] => {
    const objects = complete.get(id);
    if (objects === undefined || previousMicros === undefined) return [];
    const takenAt = isoOfMicros(timeMicros);
    // No look has covered this snapshot yet. The next run exports it, since what a manifest says of its history can't be changed later.
    if (takenAt > lookedUntil) return [];
    const span = spanAround(spans, takenAt);
    const before = schedule.snapshots.find((other) => other.timeMicros === previousMicros);
    const stood = sameSchema(complete.get(before?.id ?? ''), objects);
    const from = isoOfMicros(previousMicros);
    const history = historyOf({ schedule: schedule.id, from }, name, span, stood);
    return [
      {
        database: name.name,
        api: name.api,
        snapshot: id,
        takenAt,
        history,
        ...(span?.version !== undefined && (span.versionSince ?? takenAt) < takenAt
          ? { catalogVersion: span.version }
          : {}),
      },
    ];
  });
}

async function settle({ signal }: VerbContext, timeMicros: string): Promise<void> {
  const waitMs = Number(BigInt(timeMicros) / 1000n) + SETTLING_MS - Date.now();
  if (waitMs > 0) await sleep(Math.min(waitMs, SETTLING_MS), undefined, { signal });
}

/**
 * The history that a snapshot carries, and since when its schema is known to be the same. For a database the looks at its catalogue say it. For a
 * keyspace the snapshots do: if both ends have the same tables in the same versions, nothing was changed in between (except a table that was made
 * and dropped again, which neither shows).
 */
function historyOf(
  base: Pick<CarriedHistory, 'schedule' | 'from'>,
  { api }: DatabaseName,
  span: SchemaSpan | undefined,
  stood: boolean,
): CarriedHistory {
  // Not even a rewind in place can be ruled out.
  if (span === undefined) return base;
  if (api === 'ycql') return stood ? { ...base, schemaSince: laterOf(base.from, span.since) } : base;
  return {
    ...base,
    schemaSince: laterOf(base.from, span.since),
    ...((span.versionSince ?? base.from) > base.from && span.since <= base.from ? { catalogRose: true } : {}),
  };
}

function laterOf(one: string, other: string): string {
  return one > other ? one : other;
}

/** Whether both snapshots have the same tables in the same versions. False if that isn't known. */
function sameSchema(
  before: readonly SnapshotObject[] | undefined,
  after: readonly SnapshotObject[],
): boolean {
  if (before === undefined || after.some(({ type, version }) => type === 'TABLE' && version === undefined))
    return false;
  const words = (objects: readonly SnapshotObject[]) =>
    JSON.stringify(
      objects
        .map(({ type, id, name, version, indexedTableId }) => [type, id, name, version, indexedTableId])
        .sort((one, other) => String(one[1]).localeCompare(String(other[1]))),
    );
  return words(before) === words(after);
}
