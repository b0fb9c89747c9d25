import type { Verdict } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { type Catalogue, type CatalogueEntry, damageIn } from '../model/recovery.ts';

/** The state of a plan, from its catalogue alone. Times are milliseconds since 1970. What has never happened is absent. */
export interface Standing {
  readonly backups: number;
  readonly unusable: number;
  /** Stored bytes of the backups in the catalogue. */
  readonly storedBytes: number;
  /** Backups whose manifest is damaged, or in which a verification found damage that stands. */
  readonly damaged: number;
  /** The newest backup, verified or not. */
  readonly newest?: CatalogueEntry;
  readonly newestInstantMs?: number;
  readonly oldestInstantMs?: number;
  /** When the last backup was complete. */
  readonly lastSuccessMs?: number;
  /** The newest backup that a verification found good: its instant, and when it was verified. */
  readonly lastGood?: { readonly backup: string; readonly instantMs: number; readonly atMs: number };
  /**
   * Until when at least one backup is locked with everything that it needs, among those not known to be damaged. 0: the plan locks, and none is
   * locked.
   */
  readonly lockHorizonMs?: number;
  /** When any backup was last verified, whatever the verdict. */
  readonly lastVerifiedMs?: number;
  /** The newest drill, and the newest drill with the verdict OK. */
  readonly lastDrill?: { readonly verdict: Verdict; readonly atMs: number; readonly restoreMs?: number };
  readonly lastGoodDrill?: { readonly atMs: number; readonly restoreMs?: number };
}

/** The state of a plan. Pure: it depends on the catalogue alone. Damaged backups don't count as restorable. */
export function standingOf({ entries, total, unusable, damaged = [], locks }: Catalogue): Standing {
  const [newest] = entries;
  const sound = entries.filter((entry) => damageIn(entry) === undefined);
  const instants = sound.map(({ instant }) => Date.parse(instant));
  // A backup that lacks rows ended as failed.
  const completed = entries.flatMap(({ completedAt, isIncomplete }) =>
    isIncomplete === true ? [] : Date.parse(completedAt),
  );
  const verified = entries.flatMap(({ verified: found }) =>
    found === undefined ? [] : Date.parse(found.at),
  );
  const locked = sound.flatMap(({ wholeLockedUntil: until }) =>
    until === undefined ? [] : Date.parse(until),
  );
  const good = entries.find(({ lastGood }) => lastGood !== undefined);
  const drills = entries
    .flatMap(({ drill }) => drill ?? [])
    .map(({ verdict, at, restoreMs }) => ({
      verdict,
      atMs: Date.parse(at),
      ...defined({ restoreMs }),
    }))
    .sort((one, other) => other.atMs - one.atMs);
  return {
    backups: total,
    unusable,
    storedBytes: entries.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    damaged: entries.length - sound.length + damaged.length,
    ...given('newest', newest),
    ...given('newestInstantMs', greatest(instants)),
    ...given('oldestInstantMs', least(instants)),
    ...given('lastSuccessMs', greatest(completed)),
    ...given(
      'lastGood',
      good?.lastGood && {
        backup: good.backup,
        instantMs: Date.parse(good.instant),
        atMs: Date.parse(good.lastGood.at),
      },
    ),
    ...given('lockHorizonMs', locks === true ? (greatest(locked) ?? 0) : undefined),
    ...given('lastVerifiedMs', greatest(verified)),
    ...given('lastDrill', drills[0]),
    ...given(
      'lastGoodDrill',
      drills.find(({ verdict }) => verdict === 'OK'),
    ),
  };
}

function greatest(numbers: readonly number[]): number | undefined {
  return numbers.length === 0 ? undefined : numbers.reduce((one, other) => Math.max(one, other));
}

function least(numbers: readonly number[]): number | undefined {
  return numbers.length === 0 ? undefined : numbers.reduce((one, other) => Math.min(one, other));
}

function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [key in Name]: Value });
}
