import type { Retention } from '../model/pipeline.ts';
import type { CatalogueEntry } from '../model/recovery.ts';
import { DAY_MS } from '../model/time.ts';
import { decideRetention } from './retention.ts';

interface SimulationInput {
  /** The backups at the start. */
  readonly entries: readonly CatalogueEntry[];
  readonly policy: Retention;
  /** Times of the backups and of the prunes, in order. In the simulation every backup succeeds and is found good. */
  readonly backups: readonly Date[];
  readonly prunes: readonly Date[];
  readonly from: Date;
  readonly days: number;
  /** Stored bytes of each simulated backup. Absent where no size is known. */
  readonly storedBytes?: number;
  /** The time between mark and deletion if the policy names none. */
  readonly defaultGraceMs: number;
  /** Called after each simulated day, with the number of days so far. */
  readonly onDay?: (played: number) => void;
}

/** The repository at the end of one day of the simulation. */
export interface SimulatedDay {
  readonly at: string;
  readonly backups: number;
  /** How many of these are marked and within their grace time. */
  readonly marked: number;
  /** Absent where no size is known. */
  readonly storedBytes?: number;
  /** The oldest instant to which the plan can be restored. */
  readonly oldest?: string;
  /** How many were deleted on this day. */
  readonly deleted: number;
  /** Ages of the backups in days, youngest first. */
  readonly agesDays: readonly number[];
}

/** Simulates backups and prunes day by day, by the rules of real prunes. Pure. */
export function simulateRetention(input: SimulationInput): readonly SimulatedDay[] {
  const graceMs = input.policy.graceMs ?? input.defaultGraceMs;
  let entries = [...input.entries];
  const markedMs = new Map<string, number>();
  let deleted = 0;

  const prune = (now: Date): void => {
    const dropped = new Set(
      decideRetention(entries, input.policy, { now })
        .filter(({ keep }) => !keep)
        .map(({ backup }) => backup),
    );
    for (const backup of markedMs.keys()) if (!dropped.has(backup)) markedMs.delete(backup);
    for (const backup of dropped) if (!markedMs.has(backup)) markedMs.set(backup, now.getTime());
    const before = entries.length;
    entries = entries.filter(({ backup }) => {
      const marked = markedMs.get(backup);
      // As in reality, a prune doesn't delete a backup that it has just marked itself.
      return marked === undefined || marked === now.getTime() || marked + graceMs > now.getTime();
    });
    deleted += before - entries.length;
    const left = new Set(entries.map(({ backup }) => backup));
    for (const backup of markedMs.keys()) if (!left.has(backup)) markedMs.delete(backup);
  };

  const events: { readonly at: Date; readonly backup?: string }[] = [
    ...input.backups.map((at, index) => ({ at, backup: `simulated-${index}` })),
    ...input.prunes.map((at) => ({ at })),
  ].sort((one, other) => one.at.getTime() - other.at.getTime());
  let next = 0;
  return Array.from({ length: input.days }, (_, day) => {
    const end = new Date(input.from.getTime() + (day + 1) * DAY_MS);
    deleted = 0;
    for (; next < events.length; next++) {
      const event = events[next];
      if (event === undefined || event.at > end) break;
      if (event.backup !== undefined) entries.push(simulatedEntry(event.backup, event.at, input.storedBytes));
      else prune(event.at);
    }
    input.onDay?.(day + 1);
    return dayOf(entries, markedMs.size, deleted, end, input.storedBytes !== undefined);
  });
}

function dayOf(
  entries: readonly CatalogueEntry[],
  marked: number,
  deleted: number,
  end: Date,
  sized: boolean,
): SimulatedDay {
  const ages = entries
    .map(({ instant }) => (end.getTime() - Date.parse(instant)) / DAY_MS)
    .sort((one, other) => one - other);
  const oldest = ages.at(-1);
  return {
    at: end.toISOString(),
    backups: entries.length,
    marked,
    ...(sized ? { storedBytes: entries.reduce((sum, { storedBytes }) => sum + storedBytes, 0) } : {}),
    ...(oldest === undefined ? {} : { oldest: new Date(end.getTime() - oldest * DAY_MS).toISOString() }),
    deleted,
    agesDays: ages.map((age) => Math.round(age * 100) / 100),
  };
}

function simulatedEntry(backup: string, at: Date, storedBytes = 0): CatalogueEntry {
  const instant = at.toISOString();
  return {
    backup,
    instant,
    completedAt: instant,
    rows: 0,
    bytes: 0,
    storedBytes,
    contents: 'all',
    verified: { level: 'checksums', verdict: 'OK', at: instant },
    lastGood: { level: 'checksums', at: instant },
  };
}
