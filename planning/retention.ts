import { formatDuration } from '../model/amounts.ts';
import type { Retention } from '../model/pipeline.ts';
import { type CatalogueEntry, damageIn } from '../model/recovery.ts';
import { type Period, periodOf } from './calendar.ts';

/** Why a backup is kept. The rules up to `minAge` are the policy's; the others hold whatever the policy says. */
type RetentionRule =
  | 'keepLast'
  | 'keepHourly'
  | 'keepDaily'
  | 'keepWeekly'
  | 'keepMonthly'
  | 'keepYearly'
  | 'keepWithin'
  | 'minCount'
  | 'minAge'
  /** The newest backup that a verification found good. If there is none, the newest backup. */
  | 'lastGood'
  /** It is being read: by a restore, a verification or a copy. */
  | 'inUse'
  /** Somebody holds it. */
  | 'hold'
  /** The store's lock keeps it from being deleted yet. */
  | 'objectLock'
  /** Another backup that is kept can't be restored without it. */
  | 'needed'
  /** Its instant lies in the future, so a clock is wrong, and its age is unknown. */
  | 'inFuture';

/** Whether retention keeps a backup, and why. */
export interface RetentionVerdict {
  readonly backup: string;
  readonly instant: string;
  readonly keep: boolean;
  /** All rules that keep it. Empty: it is dropped. */
  readonly rules: readonly RetentionRule[];
  /** One clause for people. */
  readonly reason: string;
}

/** What retention depends on besides the policy. */
export interface RetentionContext {
  readonly now: Date;
  /** IANA name of the zone whose wall clock defines days and months. Default: the policy's own, else UTC. */
  readonly timezone?: string;
  /**
   * How long backups with carried history are kept, counted back from the newest of them, milliseconds. Absent: the policy judges them
   * too.
   */
  readonly historyMs?: number;
  /** Backups that are being read, each with its reader. They stay, whatever the rules say. */
  readonly protectedBackups?: readonly { readonly backup: string; readonly reader: string }[];
}

const PERIODS = [
  ['keepHourly', 'hour'],
  ['keepDaily', 'day'],
  ['keepWeekly', 'week'],
  ['keepMonthly', 'month'],
  ['keepYearly', 'year'],
] as const satisfies readonly (readonly [RetentionRule, Period])[];

/**
 * Which backups a policy keeps and which it drops, newest instant first. Pure. Ordered by instant, never by name.
 *
 * - A damaged backup takes no sound one's place; nor does one that lacks rows, nor a safety backup, which holds what a restore overwrote. So the rules
 *   are applied twice, to the sound backups and to all. A backup that either result keeps is kept.
 * - `keepWithin` counts from the newest backup, so a time without backups drops nothing.
 * - Whatever the policy says, these stay: the newest backup found good, and any backup that is read, held, locked, or needed by one that
 *   stays.
 * - Without a policy everything is kept.
 * - Backups with carried history have a rule of their own, and none of them takes the place of another backup.
 */
export function decideRetention(
  entries: readonly CatalogueEntry[],
  policy: Retention | undefined,
  context: RetentionContext,
): readonly RetentionVerdict[] {
  const { historyMs } = context;
  if (historyMs === undefined) return decide(entries, policy, context);
  const carriers = entries.filter(({ history }) => history !== undefined);
  const others = entries.filter(({ history }) => history === undefined);
  return [...decide(others, policy, context), ...decide(carriers, { keepWithinMs: historyMs }, context)].sort(
    (one, other) => Date.parse(other.instant) - Date.parse(one.instant),
  );
}

function decide(
  entries: readonly CatalogueEntry[],
  policy: Retention | undefined,
  context: RetentionContext,
): readonly RetentionVerdict[] {
  const nowMs = context.now.getTime();
  const timezone = context.timezone ?? policy?.timezone ?? 'UTC';
  const all = entries.map((entry) => ({ entry, ms: Date.parse(entry.instant) })).sort((a, b) => b.ms - a.ms);
  const kept = new Map<string, Reasons>(all.map(({ entry }) => [entry.backup, new Map()]));
  const keep = ({ entry }: Dated, rule: RetentionRule, detail: string): void => {
    const reasons = kept.get(entry.backup);
    if (reasons?.has(rule) === false) reasons.set(rule, detail);
  };

  const judged = all.filter((one) => one.ms <= nowMs);
  for (const one of all) {
    if (one.ms > nowMs)
      keep(one, 'inFuture', `its instant lies ${formatDuration(one.ms - nowMs)} in the future`);
  }
  if (policy !== undefined) {
    const sound = judged.filter(({ entry }) => isSound(entry));
    applyRules(sound, policy, timezone, keep);
    if (sound.length < judged.length) applyRules(judged, policy, timezone, keep);
    for (const [index, one] of sound.slice(0, policy.minCount ?? 0).entries()) {
      keep(one, 'minCount', `${index + 1} of at least ${policy.minCount}`);
    }
    for (const one of judged) {
      const ageMs = nowMs - one.ms;
      if (policy.minAgeMs !== undefined && ageMs < policy.minAgeMs) {
        keep(one, 'minAge', `${formatDuration(ageMs)} old, below ${formatDuration(policy.minAgeMs)}`);
      }
    }
    protect(all, judged, sound, context, nowMs, keep);
    keepNeeded(all, kept, keep);
  }
  return all.map(({ entry }) => {
    const reasons = kept.get(entry.backup) ?? new Map();
    return {
      backup: entry.backup,
      instant: entry.instant,
      keep: policy === undefined || reasons.size > 0,
      rules: [...reasons.keys()],
      reason:
        policy === undefined
          ? 'the plan has no retention'
          : reasons.size > 0
            ? [...reasons].map(([rule, detail]) => `${rule} (${detail})`).join(', ')
            : 'no rule keeps it',
    };
  });
}

/** Whether a backup may take the place of others. */
function isSound(entry: CatalogueEntry): boolean {
  return damageIn(entry) === undefined && entry.kind !== 'safety' && entry.isIncomplete !== true;
}

interface Dated {
  readonly entry: CatalogueEntry;
  readonly ms: number;
}

type Reasons = Map<RetentionRule, string>;
type Keep = (one: Dated, rule: RetentionRule, detail: string) => void;

function applyRules(backups: readonly Dated[], policy: Retention, timezone: string, keep: Keep): void {
  for (const [index, one] of backups.slice(0, policy.keepLast ?? 0).entries()) {
    keep(one, 'keepLast', `${index + 1} of ${policy.keepLast}`);
  }
  for (const [rule, period] of PERIODS) {
    const count = policy[rule];
    if (count === undefined) continue;
    const seen = new Set<string>();
    for (const one of backups) {
      const name = periodOf(one.ms, period, timezone);
      if (seen.has(name)) continue;
      seen.add(name);
      keep(one, rule, `newest of ${name}, ${seen.size} of ${count}`);
      if (seen.size === count) break;
    }
  }
  const [newest] = backups;
  if (policy.keepWithinMs === undefined || newest === undefined) return;
  for (const one of backups) {
    if (newest.ms - one.ms > policy.keepWithinMs) break;
    keep(one, 'keepWithin', `within ${formatDuration(policy.keepWithinMs)} of the newest`);
  }
}

/** Keeps what no policy may drop. */
function protect(
  all: readonly Dated[],
  judged: readonly Dated[],
  sound: readonly Dated[],
  { protectedBackups = [] }: RetentionContext,
  nowMs: number,
  keep: Keep,
): void {
  for (const backups of [sound, judged]) {
    const good = backups.find(({ entry }) => entry.lastGood !== undefined);
    if (good !== undefined) keep(good, 'lastGood', 'the newest that a verification found good');
  }
  const newest = sound.some(({ entry }) => entry.lastGood !== undefined)
    ? undefined
    : (sound[0] ?? judged[0]);
  if (newest !== undefined) keep(newest, 'lastGood', 'the newest; no verification found one good yet');
  const readers = new Map(protectedBackups.map(({ backup, reader }) => [backup, reader]));
  for (const one of all) {
    const reader = readers.get(one.entry.backup);
    if (reader !== undefined) keep(one, 'inUse', `${reader} reads it`);
    const { held } = one.entry;
    if (held !== undefined) keep(one, 'hold', held);
    const { lockedUntil } = one.entry;
    if (lockedUntil !== undefined && Date.parse(lockedUntil) > nowMs) {
      keep(one, 'objectLock', `locked until ${lockedUntil}`);
    }
  }
}

function keepNeeded(all: readonly Dated[], kept: ReadonlyMap<string, Reasons>, keep: Keep): void {
  const byName = new Map(all.map((one) => [one.entry.backup, one]));
  const followed = new Set<string>();
  const follow = (one: Dated): void => {
    if (followed.has(one.entry.backup)) return;
    followed.add(one.entry.backup);
    for (const name of one.entry.needs ?? []) {
      const base = byName.get(name);
      if (base === undefined) continue;
      keep(base, 'needed', `${one.entry.backup} can't be restored without it`);
      follow(base);
    }
  };
  for (const one of all) if ((kept.get(one.entry.backup)?.size ?? 0) > 0) follow(one);
}
