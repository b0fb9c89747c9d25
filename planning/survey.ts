import { defined } from '../model/defined.ts';
import { type Catalogue, type CatalogueEntry, damageIn, type RecoverySource } from '../model/recovery.ts';
import type { PlanSurvey, SurveyedSchedule } from '../model/survey.ts';
import { recoveryWindow } from './recovery/plan.ts';

const SUSPECTS_SHOWN = 5;
const HELD_SHOWN = 10;

/** The state of a plan at a glance. Pure: the same catalogue, history and schedules give the same. */
export function surveyOf(
  { entries, total, unusable, repositoryId, readAt, locks, signed, damaged = [] }: Catalogue,
  history: readonly RecoverySource[],
  schedules: readonly SurveyedSchedule[],
): PlanSurvey {
  return {
    readAt,
    backups: total,
    unusable,
    schedules,
    ...defined({ repositoryId, signed }),
    ...(damaged.length === 0 ? {} : { suspect: damaged.slice(0, SUSPECTS_SHOWN) }),
    storedBytes: entries.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    ...heldOf(entries),
    window: recoveryWindow([...history, { kind: 'backups', entries }]),
    ...newestOf(entries),
    ...(locks === true ? { locks: longestLocked(entries) } : {}),
  };
}

function heldOf(entries: readonly CatalogueEntry[]): Pick<PlanSurvey, 'held'> {
  const held = entries.flatMap(({ backup, held: by }) => (by === undefined ? [] : [{ backup, held: by }]));
  return held.length === 0 ? {} : { held: held.slice(0, HELD_SHOWN) };
}

function newestOf(entries: readonly CatalogueEntry[]): Partial<PlanSurvey> {
  const good = entries.find(({ lastGood }) => lastGood !== undefined);
  const verified = latest(entries, ({ verified: found }) => found?.at);
  const drilled = latest(entries, ({ drill }) => drill?.at);
  return {
    ...(good?.lastGood === undefined
      ? {}
      : { lastGood: { backup: good.backup, instant: good.instant, ...good.lastGood } }),
    ...(verified?.verified === undefined
      ? {}
      : { lastVerification: { backup: verified.backup, ...verified.verified } }),
    ...(drilled?.drill === undefined ? {} : { lastDrill: { backup: drilled.backup, ...drilled.drill } }),
  };
}

/** The backup that stays locked longest with all that it needs, among those in which no damage was found. */
function longestLocked(entries: readonly CatalogueEntry[]): NonNullable<PlanSurvey['locks']> {
  const sound = entries.filter((entry) => damageIn(entry) === undefined);
  const longest = latest(sound, ({ wholeLockedUntil }) => wholeLockedUntil);
  return longest?.wholeLockedUntil === undefined
    ? {}
    : { backup: longest.backup, until: longest.wholeLockedUntil };
}

function latest(
  entries: readonly CatalogueEntry[],
  timeOf: (entry: CatalogueEntry) => string | undefined,
): CatalogueEntry | undefined {
  return entries
    .filter((entry) => timeOf(entry) !== undefined)
    .sort((one, other) => Date.parse(timeOf(other) ?? '') - Date.parse(timeOf(one) ?? ''))[0];
}
