import type { ArchiveInterval, ArchiveWindow, Timeline } from '../model/archive.ts';
import { archiveWindow } from '../planning/archive-window.ts';
import { archivedDatabases, readTimelines } from '../repository/archive.ts';
import type { Store } from '../repository/store.ts';

/** What a plan's archive holds of one database. */
export interface DatabaseWindow extends Omit<ArchiveWindow, 'intervals'> {
  readonly intervals: readonly (ArchiveInterval & {
    /** Of the listed objects; of segments in parts, their lists alone. */
    readonly storedBytes: number;
  })[];
  /** By the newest timeline. */
  readonly notArchived: Timeline['notArchived'];
}

/** The archive of a plan as its repository holds it, database by database. */
export async function readArchive(store: Store, plan: string): Promise<readonly DatabaseWindow[]> {
  const windows: DatabaseWindow[] = [];
  for (const database of await archivedDatabases(store, plan)) {
    const timelines = await readTimelines(store, { plan, database });
    if (timelines.length === 0) continue;
    const window = archiveWindow(database, timelines);
    windows.push({
      ...window,
      intervals: window.intervals.map((interval) => ({
        ...interval,
        storedBytes: interval.segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      })),
      notArchived: timelines.at(-1)?.timeline.notArchived ?? [],
    });
  }
  return windows;
}
