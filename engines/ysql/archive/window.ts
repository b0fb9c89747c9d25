import {
  type ArchiveInterval,
  type ArchiveWindow,
  isoOfMicros,
  type Timeline,
} from '../../../model/archive.ts';
import type { ArchiveStanding } from '../../../model/archive-standing.ts';
import { type Stretch, stretchesOf } from '../../../planning/archive/proofs.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import { archivedDatabases, readTimelines } from '../../../repository/archive/archive.ts';
import type { Cancellable, Store } from '../../../repository/store.ts';
import { readHoles } from './holes.ts';

/** What a plan's archive holds of one database. */
export interface DatabaseWindow extends Omit<ArchiveWindow, 'intervals'> {
  readonly intervals: readonly (ArchiveInterval & {
    /** Of the listed objects; of segments in parts, their lists alone. */
    readonly storedBytes: number;
    /** What proofs say of it, the oldest first. */
    readonly stretches: readonly Stretch[];
  })[];
  /** By the newest timeline. */
  readonly notArchived: Timeline['notArchived'];
}

/** The archive of a plan as its repository holds it, database by database. What a proof refuted is among the holes. */
export async function readArchive(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<readonly DatabaseWindow[]> {
  const windows: DatabaseWindow[] = [];
  for (const database of await archivedDatabases(store, plan, options)) {
    const timelines = await readTimelines(store, { plan, database }, options);
    if (timelines.length === 0) continue;
    const { intervals } = archiveWindow(database, timelines);
    const proofsOf = new Map(timelines.map(({ timeline, proofs = [] }) => [timeline.id, proofs]));
    windows.push({
      database,
      holes: await readHoles(store, database, timelines),
      intervals: intervals.map((interval) => ({
        ...interval,
        storedBytes: interval.segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        stretches: stretchesOf(interval, proofsOf.get(interval.timeline) ?? []),
      })),
      notArchived: timelines.at(-1)?.timeline.notArchived ?? [],
    });
  }
  return windows;
}

const MAX_HOLES = 5;

/** Where a plan's archive stands, database by database; empty where it has none. */
export async function archiveStandings(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<readonly ArchiveStanding[]> {
  return (await readArchive(store, plan, options)).flatMap(standingOf);
}

function standingOf({ database, intervals, holes }: DatabaseWindow): readonly ArchiveStanding[] {
  const newest = intervals.at(-1);
  if (newest === undefined) return [];
  const proved = newest.stretches.findLast(({ state }) => state === 'proved');
  return [
    {
      database,
      intervals: intervals.length,
      holesInAll: holes.length,
      from: isoOfMicros(newest.fromMicros),
      to: isoOfMicros(newest.toMicros),
      ...(proved === undefined ? {} : { provedTo: isoOfMicros(proved.toMicros) }),
      isEnded: holes.some(({ toMicros }) => toMicros === undefined),
      holes: holes.slice(-MAX_HOLES).map(({ fromMicros, toMicros, code, reason }) => ({
        from: isoOfMicros(fromMicros),
        to: toMicros === undefined ? null : isoOfMicros(toMicros),
        code,
        reason,
      })),
    },
  ];
}
