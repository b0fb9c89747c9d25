import { defined } from '../../model/defined.ts';
import type { RecoveryRefusal, RecoverySource, RefusalCode } from '../../model/recovery.ts';
import { beforeDdl } from './carried-history.ts';
import { backupsOf, hiddenBackups, iso } from './catalogue.ts';
import { backupsIn, type Note, neighbours, type Reach } from './reach.ts';

/** A refusal with its notes in the order in which people should read them. */
export function refused(
  code: RefusalCode,
  reason: string,
  remedy: string,
  details: {
    readonly before?: string;
    readonly after?: string;
    readonly notes?: readonly Note[];
    readonly limits?: readonly string[];
  } = {},
): RecoveryRefusal {
  const { notes = [], limits = [], ...nearest } = details;
  const all = [...notes.map(({ text }) => text), ...limits];
  return { kind: 'refused', code, reason, remedy, ...nearest, notes: all };
}

/** The refusal where there is no backup at all, or none that is sound. */
export function nothing({ passedOver, limits }: Reach): RecoveryRefusal {
  return passedOver.length === 0
    ? refused('NO_BACKUP', 'there is no backup yet', 'Make one: holdfast backup PLAN.', { limits })
    : refused(
        'NO_BACKUP',
        'there is no backup that can be trusted',
        'Make one; or name one of those that were passed over with `backup`.',
        { notes: passedOver, limits },
      );
}

/** The refusal for an instant that no way reaches: says why, and which instants next to it can be had. */
export function unreachable(
  reach: Reach,
  sources: readonly RecoverySource[],
  wantedMs: number,
): RecoveryRefusal {
  const { before, after } = neighbours(reach.steps, wantedMs);
  const sound = backupsIn(reach.steps);
  const barred = beforeDdl(sound, wantedMs);
  if (barred !== undefined) {
    const both = [before, after].filter((one) => one !== undefined);
    return refused(
      'INSTANT_BEFORE_DDL',
      `${barred.backup} carries the data of ${iso(wantedMs)}, but its schema is known to have stood only from ${barred.history.safeFrom} on (it changed before that, or the database was taken back in place, or nobody looked), and YugabyteDB’s files can’t be taken back over such a change`,
      `Ask for ${both.join(' or ')}, or for the newest before (\`nearest: before\`).`,
      { ...defined({ before, after }), limits: reach.limits },
    );
  }
  const details = {
    ...defined({ before, after }),
    notes: [
      ...reach.passedOver.filter((one) => one.ms === wantedMs || isBetween(one.ms, before, after)),
      ...deadEndBefore(reach, wantedMs),
      ...holesAt(sources, wantedMs),
    ],
    limits: reach.limits,
  };
  const wanted = iso(wantedMs);
  if (before !== undefined) {
    return refused(
      'INSTANT_NOT_EXACT',
      after === undefined
        ? `nothing holds the data of ${wanted}; the newest instant that can be reached is ${before}`
        : `nothing holds the data of ${wanted}; it lies between two instants that can be reached, ${before} and ${after}`,
      `Ask for ${after === undefined ? 'that instant' : 'one of them'}, or for the newest before (\`nearest: before\`).`,
      details,
    );
  }
  if (after === undefined) return nothing(reach);
  const hidden = hiddenBackups(sources);
  return refused(
    'INSTANT_TOO_EARLY',
    hidden > 0
      ? `${wanted} lies before the oldest of the newest ${backupsOf(sources).length} backups (${after}); ${hidden} older ones are not looked at here`
      : `${wanted} lies before the first instant that can be reached, ${after}`,
    hidden > 0 ? 'Name the backup (`holdfast list` shows all).' : `Ask for ${after} or a later instant.`,
    details,
  );
}

/** Why the changes since the newest base before the instant don't lead to it. Older bases' reasons are left out. */
export function deadEndBefore({ deadEnds }: Reach, ms: number): readonly Note[] {
  return deadEnds.filter((one) => one.ms <= ms).slice(0, 1);
}

/** Why the archive of changes doesn't hold the instant. */
function holesAt(sources: readonly RecoverySource[], ms: number): readonly Note[] {
  return sources
    .flatMap((source) => (source.kind === 'archive' ? (source.holes ?? []) : []))
    .filter(({ from, to }) => Date.parse(from) <= ms && (to === undefined || ms <= Date.parse(to)))
    .map(({ from, to, reason }) => ({
      ms,
      text: `The archive of changes has nothing ${to === undefined ? `since ${from}` : `from ${from} to ${to}`}. ${reason}`,
    }));
}

function isBetween(ms: number, before: string | undefined, after: string | undefined): boolean {
  return (before === undefined || ms > Date.parse(before)) && (after === undefined || ms < Date.parse(after));
}
