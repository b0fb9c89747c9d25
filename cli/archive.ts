import {
  type ArchiveInterval,
  type ArchiveWindow,
  isoOfMicros,
  type StoredTimeline,
  type Timeline,
} from '../model/archive.ts';
import type { StoredProof } from '../model/archive-proof.ts';
import { type Stretch, stretchesOf } from '../planning/archive-proofs.ts';
import { archiveWindow } from '../planning/archive-window.ts';
import { archivedDatabases, readTimelines } from '../repository/archive.ts';
import { readProof } from '../repository/archive-proofs.ts';
import type { Store } from '../repository/store.ts';

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
export async function readArchive(store: Store, plan: string): Promise<readonly DatabaseWindow[]> {
  const windows: DatabaseWindow[] = [];
  for (const database of await archivedDatabases(store, plan)) {
    const timelines = await readTimelines(store, { plan, database });
    if (timelines.length === 0) continue;
    const { intervals, holes } = archiveWindow(database, timelines);
    const proofsOf = new Map(timelines.map(({ timeline, proofs = [] }) => [timeline.id, proofs]));
    const refuted = await refutedHoles(store, timelines);
    windows.push({
      database,
      holes: [...holes, ...refuted].toSorted((one, other) => one.fromMicros - other.fromMicros),
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

async function refutedHoles(
  store: Store,
  timelines: readonly StoredTimeline[],
): Promise<ArchiveWindow['holes']> {
  const refuted = timelines.flatMap(({ proofs = [] }) =>
    proofs.filter(({ verdict }) => verdict === 'FAILED'),
  );
  return Promise.all(
    refuted.map(async (proof) => ({
      fromMicros: proof.fromMicros,
      toMicros: proof.toMicros,
      reason: await reasonOf(store, proof),
    })),
  );
}

async function reasonOf(store: Store, stored: StoredProof): Promise<string> {
  const { base, against, problems, provedAt } = await readProof(store, stored);
  return `Refuted by a proof of ${provedAt}: the changes archived since ${base} do not give ${against} (${problems.slice(0, 3).join('; ')}).`;
}

/** `2026-11-30T03:00:00.000000Z to …  proved` */
export function stretchText({ fromMicros, toMicros, state }: Stretch): string {
  const said = { archived: 'archived, not proved', proved: 'proved', refuted: 'refuted, never offered' };
  return `${isoOfMicros(fromMicros)} to ${isoOfMicros(toMicros)}  ${said[state]}`;
}
