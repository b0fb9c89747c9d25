import { formatBytes, formatDuration } from '../model/amounts.ts';
import { isoOfMicros } from '../model/archive.ts';
import { defined } from '../model/defined.ts';
import {
  type CatalogueEntry,
  damageIn,
  type InstantRange,
  type RecoveryCost,
  type RecoveryDecision,
  type RecoveryRefusal,
  type RecoveryRequest,
  type RecoverySource,
  type RecoveryWindow,
  type RefusalCode,
  type RestoreMeasurement,
} from '../model/recovery.ts';
import type { ArchiveChain } from '../model/replay.ts';
import { segmentsTo } from './archive/chain.ts';
import { beforeDdl, historyHoles, historyRanges } from './carried-history.ts';
import { readInstant } from './instant.ts';
import { unionOf } from './range-union.ts';
import { estimateRestoreMs, restorePace } from './restore-pace.ts';

interface PlanningContext {
  readonly now: Date;
  /** Earlier restores of the plan, on which the estimate rests. Drills in the catalogue are added to them. */
  readonly measurements?: readonly RestoreMeasurement[];
}

/**
 * Decides how to reach what is asked for, or why it can't be reached. Pure. If two sources reach the instant, the one that is
 * listed first wins. A backup whose last verification found damage is passed over unless the request names it. A safety backup is
 * passed over where the request asks for the newest data.
 */
export function planRecovery(
  sources: readonly RecoverySource[],
  request: RecoveryRequest,
  context: PlanningContext,
): RecoveryDecision {
  if (request.backup !== undefined && request.to !== undefined) {
    return refused('BAD_REQUEST', 'both `backup` and `to` choose what to restore', 'Leave out one of them.');
  }
  const reach = reachOf(sources, request);
  if (request.backup !== undefined) return namedBackup(sources, request.backup, context);
  if (request.to === undefined) return newest(reach, sources, context);

  const reading = readInstant(request.to, context.now);
  if ('problem' in reading) return refused('BAD_INSTANT', reading.problem, reading.remedy);
  const wantedMs = reading.at.getTime();
  if (wantedMs > context.now.getTime()) {
    const ahead = formatDuration(wantedMs - context.now.getTime());
    return refused(
      'INSTANT_IN_FUTURE',
      `${iso(wantedMs)} lies ${ahead} in the future (it is ${context.now.toISOString()} here)`,
      'Ask for an instant that has been; leave `to` out for the newest one.',
      { ...neighbours(reach.steps, wantedMs), notes: reach.passedOver, limits: reach.limits },
    );
  }
  const exact = reach.steps.find((step) => step.fromMs <= wantedMs && wantedMs <= step.toMs);
  if (exact !== undefined) {
    return decide(exact, wantedMs, `${subjectOf(exact)} exactly the data of ${iso(wantedMs)}`, {
      sources,
      context,
      limits: reach.limits,
      notes: dearerWays(reach.steps, exact, wantedMs),
    });
  }
  const before = latestBefore(reach.steps, wantedMs);
  if (before !== undefined && request.nearest === 'before') {
    const gap = formatDuration(wantedMs - before.toMs);
    const why = `the newest instant before ${iso(wantedMs)} that can be reached is ${gap} earlier`;
    return decide(before, before.toMs, why, {
      sources,
      context,
      notes: [...reach.passedOver.filter((one) => one.ms >= before.toMs), ...deadEndBefore(reach, wantedMs)],
      limits: reach.limits,
    });
  }
  return unreachable(reach, sources, wantedMs);
}

/** All instants that the sources can bring back. Damaged backups don't count. */
export function recoveryWindow(sources: readonly RecoverySource[]): RecoveryWindow {
  const { steps } = reachOf(sources, {});
  const sound = backupsIn(steps);
  const holes = historyHoles(sound);
  return {
    instants: steps
      .filter((step) => step.way === 'backup')
      .map(({ entry }) => ({
        at: entry.instant,
        backup: entry.backup,
        verified: entry.lastGood !== undefined,
      }))
      .sort((one, other) => Date.parse(one.at) - Date.parse(other.at)),
    ranges: sources
      .flatMap((source): RecoveryWindow['ranges'] => {
        if (source.kind !== 'snapshot-schedule') return [];
        const { ways, limits, windows } = source;
        const open = ways.filter((way) => limits?.some((limit) => limit.ways.includes(way)) !== true);
        return open.flatMap((way) => windows.map(({ from, to }) => ({ from, to, way })));
      })
      // Changes since an older base go on past newer bases, so the ranges overlap.
      .concat(
        unionOf(sources.flatMap((source) => (source.kind === 'archive' ? source.windows : []))).map(
          (range) => ({ ...range, way: 'archive' }),
        ),
      )
      .concat(historyRanges(sound).map((range) => ({ ...range, way: 'snapshot' })))
      .sort((one, other) => Date.parse(one.from) - Date.parse(other.from)),
    ...(holes.length === 0 ? {} : { holes }),
  };
}

/** Instants that one way reaches: a single one, or a range. */
type Step = { readonly fromMs: number; readonly toMs: number } & (
  | { readonly way: 'backup'; readonly entry: CatalogueEntry }
  | { readonly way: 'snapshot'; readonly entry: CatalogueEntry }
  | {
      readonly way: 'archive';
      readonly entry: CatalogueEntry;
      readonly chains: Readonly<Record<string, ArchiveChain>>;
      readonly provedTo?: string;
    }
  | { readonly way: 'rewind' | 'clone'; readonly schedule: string }
);

interface Note {
  readonly ms: number;
  readonly text: string;
}

interface Reach {
  /** In the order of preference: by source, then backups found good, then the later one. */
  readonly steps: readonly Step[];
  readonly passedOver: readonly Note[];
  /** Bases from which the archive of changes leads to no instant. */
  readonly deadEnds: readonly Note[];
  /** Why the universe's own history can't serve the request, whatever the instant. */
  readonly limits: readonly string[];
}

function reachOf(sources: readonly RecoverySource[], request: RecoveryRequest): Reach {
  const passedOver: Note[] = [];
  const deadEnds: Note[] = [];
  const limits: string[] = [];
  const steps = sources.flatMap((source): readonly Step[] => {
    if (source.kind === 'snapshot-schedule') {
      // A rewind overwrites the database; a clone makes another one.
      const way = request.replace === true ? 'rewind' : 'clone';
      // Without an instant, a request means the newest backup: the universe's history ends with the present data.
      if (request.to === undefined) return [];
      if (!source.ways.includes(way)) {
        limits.push(
          `The ${way} by the snapshot schedule ${source.schedule} is passed over: a clone is of one YSQL database, and the plan has several, or keyspaces. Give each database a plan of its own, or go back in place (--replace).`,
        );
        return [];
      }
      const reasons = reasonsAgainst(way, source, request);
      limits.push(
        ...reasons.map(
          (reason) => `The ${way} by the snapshot schedule ${source.schedule} is passed over: ${reason}`,
        ),
      );
      if (reasons.length > 0) return [];
      return source.windows.map((window) => ({ ...bounds(window), way, schedule: source.schedule }));
    }
    // As above, a request without an instant means a backup, which can also be restored in part or tolerantly.
    if (source.kind === 'archive' && request.to === undefined) return [];
    if (source.kind === 'archive' && source.passedOver !== undefined) {
      const { backup, instant } = source.base;
      const text = `The changes archived since ${backup} (${instant}) are passed over: ${source.passedOver}.`;
      deadEnds.push({ ms: instantOf(source.base), text });
      return [];
    }
    const entries = source.kind === 'archive' ? [source.base] : [...source.entries].sort(byTrust);
    const reached = entries.flatMap((entry): readonly Step[] => {
      const reason = reasonToPassOver(entry, request);
      if (reason !== undefined) {
        passedOver.push({
          ms: instantOf(entry),
          text: `${entry.backup} (${entry.instant}) is passed over: ${reason}.`,
        });
        return [];
      }
      if (source.kind === 'archive') {
        const { chains, provedTo } = source;
        return source.windows.map((window) => ({
          ...bounds(window),
          way: 'archive',
          entry,
          chains,
          ...defined({ provedTo }),
        }));
      }
      return [{ fromMs: instantOf(entry), toMs: instantOf(entry), way: 'backup', entry }];
    });
    // A backup's own instant needs no history, so the way without it comes first.
    return [...reached, ...reached.flatMap(carriedBy)];
  });
  return {
    steps,
    passedOver: passedOver.sort((one, other) => other.ms - one.ms),
    deadEnds: deadEnds.sort((one, other) => other.ms - one.ms),
    limits,
  };
}

/** Why the changes since the newest base before the instant don't lead to it. Older bases' reasons are left out. */
function deadEndBefore({ deadEnds }: Reach, ms: number): readonly Note[] {
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

/** The backups that can be restored by themselves. */
function backupsIn(steps: readonly Step[]): readonly CatalogueEntry[] {
  return steps.flatMap((step) => (step.way === 'backup' ? [step.entry] : []));
}

/** The instants in a backup's history that can be restored: those after the last change of the schema. */
function carriedBy(step: Step): readonly Step[] {
  if (step.way !== 'backup' || step.entry.history === undefined) return [];
  const { safeFrom, to } = step.entry.history;
  return [{ ...bounds({ from: safeFrom, to }), way: 'snapshot', entry: step.entry }];
}

/** Why this way can't serve the request. Each reason completes a sentence. */
function reasonsAgainst(
  way: 'rewind' | 'clone',
  { limits = [] }: Extract<RecoverySource, { kind: 'snapshot-schedule' }>,
  request: RecoveryRequest,
): readonly string[] {
  const selection = request.tables === undefined ? [] : ['it takes the whole database, not single tables.'];
  const documented = limits
    .filter(({ ways }) => ways.includes(way))
    .filter(({ breaksOthers }) => breaksOthers !== true || request.breakOthers !== true)
    .map(({ reason, remedy }) => `${reason}. ${remedy}`);
  return [...selection, ...documented];
}

/** Notes for every rewind and clone. They concern what the universe can't be asked about. */
const HISTORY_NOTES: Readonly<Record<'rewind' | 'clone', readonly string[]>> = {
  rewind: [
    'No data are fetched: the universe has the history itself.',
    'A TRUNCATE, or a change of roles or tablespaces, since that instant is not undone by it and may make it fail; then a backup is the way.',
  ],
  clone: ['No data are fetched: the clone shares its files with the database.'],
};

function reasonToPassOver(entry: CatalogueEntry, request: RecoveryRequest): string | undefined {
  const damage = damageIn(entry);
  if (damage !== undefined) return `its verification of ${damage.at} found damage`;
  if (request.verified === true && entry.lastGood === undefined) return 'no verification found it good';
  return undefined;
}

/** Backups found good come first; then the one that was completed later. */
function byTrust(one: CatalogueEntry, other: CatalogueEntry): number {
  const trust = Number(other.lastGood !== undefined) - Number(one.lastGood !== undefined);
  return trust === 0 ? Date.parse(other.completedAt) - Date.parse(one.completedAt) : trust;
}

function newest(
  reach: Reach,
  sources: readonly RecoverySource[],
  context: PlanningContext,
): RecoveryDecision {
  const nowMs = context.now.getTime();
  const wanted = reach.steps.filter((each) => !isSafety(each));
  const steps = wanted.length === 0 ? reach.steps : wanted;
  const step = latestBefore(steps, nowMs) ?? steps[0];
  if (step === undefined) return nothing(reach);
  const passedOver = [...reach.passedOver, ...(steps === reach.steps ? [] : safetyNotes(reach.steps))];
  return decide(
    step,
    Math.min(step.toMs, Math.max(nowMs, step.fromMs)),
    'it is the newest instant that can be reached',
    {
      sources,
      context,
      notes: passedOver.filter(({ ms }) => ms >= step.toMs),
    },
  );
}

/** A safety backup holds what a restore was about to overwrite. A request for the newest data doesn't mean that. */
function isSafety(step: Step): boolean {
  return step.way === 'backup' && step.entry.kind === 'safety';
}

function safetyNotes(steps: readonly Step[]): readonly Note[] {
  return steps.flatMap((step) =>
    step.way === 'backup' && isSafety(step)
      ? [
          {
            ms: step.toMs,
            text: `${step.entry.backup} (${step.entry.instant}) is passed over: it holds what a restore overwrote; name it to have it.`,
          },
        ]
      : [],
  );
}

function namedBackup(
  sources: readonly RecoverySource[],
  backup: string,
  context: PlanningContext,
): RecoveryDecision {
  const entries = backupsOf(sources);
  const entry = entries.find((one) => one.backup === backup);
  if (entry === undefined) {
    const hidden = hiddenBackups(sources);
    return refused(
      'BACKUP_NOT_FOUND',
      `there is no backup ${backup}${hidden > 0 ? ` among the newest ${entries.length}` : ''}`,
      'See which backups there are with `holdfast list`.',
    );
  }
  const ms = instantOf(entry);
  const step: Step = { fromMs: ms, toMs: ms, way: 'backup', entry };
  const damage = reasonToPassOver(entry, {});
  return decide(step, ms, `${backup} is the backup that was asked for`, {
    sources,
    context,
    notes: damage === undefined ? [] : [{ ms, text: `It may not restore: ${damage}.` }],
  });
}

function decide(
  step: Step,
  instantMs: number,
  why: string,
  how: {
    readonly sources: readonly RecoverySource[];
    readonly context: PlanningContext;
    readonly notes?: readonly Note[];
    readonly limits?: readonly string[];
  },
): RecoveryDecision {
  const { now } = how.context;
  const reached = {
    kind: 'restore' as const,
    instant: iso(instantMs),
    lost: {
      from: iso(instantMs),
      to: now.toISOString(),
      durationMs: Math.max(0, now.getTime() - instantMs),
    },
    why,
  };
  const passed = [...(how.notes ?? []).map(({ text }) => text), ...(how.limits ?? [])];
  if ('schedule' in step) {
    const notes = [...HISTORY_NOTES[step.way], ...passed];
    return { ...reached, way: step.way, schedule: step.schedule, notes };
  }
  const { entry } = step;
  const restored = {
    ...reached,
    backup: entry.backup,
    cost: costOf(entry, how.sources, how.context),
    notes: [
      ...notesOn(entry, how.sources),
      ...(step.way === 'snapshot' ? carriedNotes(entry) : []),
      ...passed,
    ],
  };
  if (step.way !== 'archive') return { ...restored, way: step.way };
  const instantMicros = instantMs * 1_000;
  const chains = Object.entries(step.chains);
  const segments = chains.flatMap(([, chain]) => segmentsTo(chain, instantMicros));
  const isProved = step.provedTo !== undefined && instantMs <= Date.parse(step.provedTo);
  return {
    ...restored,
    notes: [
      isProved
        ? `The changes up to ${step.provedTo} are proved: replayed once from a backup, they gave a later one.`
        : 'This instant is archived, not proved: no drill has replayed these changes and compared the result with a later backup.',
      ...restored.notes,
    ],
    way: 'archive',
    archive: {
      segments: segments.length,
      storedBytes: segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    },
    replay: {
      to: isoOfMicros(instantMicros),
      timelines: Object.fromEntries(chains.map(([database, { timeline }]) => [database, timeline])),
    },
  };
}

/** Notes on a restore that goes back within a backup's files. */
function carriedNotes({ history }: CatalogueEntry): readonly string[] {
  return [
    'Its rows can’t be compared with counts of that instant: nobody has them, and the restore says INCONCLUSIVE.',
    'Values of sequences are those of the backup, so they are ahead of the rows.',
    ...(history?.catalogRose === true
      ? [
          'The catalog version rose within the history though the schema is the same at both ends: ANALYZE does that; a table that was created and dropped again would be missing.',
        ]
      : []),
  ];
}

function notesOn(entry: CatalogueEntry, sources: readonly RecoverySource[]): readonly string[] {
  const notes: string[] = entry.problem === undefined ? [] : [entry.problem];
  if (entry.lastGood === undefined && damageIn(entry) === undefined) {
    const best = backupsOf(sources)
      .filter((one) => one.lastGood !== undefined && instantOf(one) < instantOf(entry))
      .sort((one, other) => instantOf(other) - instantOf(one))[0];
    notes.push(
      best === undefined
        ? 'No verification has found it good yet.'
        : `No verification has found it good yet; the newest before it that was found good is ${best.backup} (${best.instant}).`,
    );
  }
  if (entry.marked !== undefined) {
    notes.push(
      `Retention has marked it for deletion after ${entry.marked.deleteAfter}; while a restore reads it, it stays.`,
    );
  }
  if (entry.isIncomplete === true)
    notes.push('It lacks rows that could not be read; its verification names the places.');
  if (entry.contents !== 'all') notes.push(`It holds the ${entry.contents} alone.`);
  return notes;
}

function costOf(
  entry: CatalogueEntry,
  sources: readonly RecoverySource[],
  { measurements = [] }: PlanningContext,
): RecoveryCost {
  const drills = backupsOf(sources).flatMap(({ drill, bytes }) =>
    drill?.restoreMs === undefined ? [] : [{ bytes, durationMs: drill.restoreMs }],
  );
  const { rows, bytes, storedBytes } = entry;
  const amounts = { rows, bytes, storedBytes };
  const pace = restorePace([...measurements, ...drills]);
  if (pace === undefined) return { ...amounts, basis: 'no restore of this plan has been measured yet' };
  const estimatedMs = estimateRestoreMs(pace, bytes);
  if (estimatedMs === undefined) return { ...amounts, basis: 'only far smaller restores have been measured' };
  const basis = pace.restores === 1 ? 'by one earlier restore' : `by ${pace.restores} earlier restores`;
  return { ...amounts, estimatedMs, basis };
}

function unreachable(reach: Reach, sources: readonly RecoverySource[], wantedMs: number): RecoveryRefusal {
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

function nothing({ passedOver, limits }: Reach): RecoveryRefusal {
  return passedOver.length === 0
    ? refused('NO_BACKUP', 'there is no backup yet', 'Make one: holdfast backup PLAN.', { limits })
    : refused(
        'NO_BACKUP',
        'there is no backup that can be trusted',
        'Make one; or name one of those that were passed over with `backup`.',
        { notes: passedOver, limits },
      );
}

function neighbours(
  steps: readonly Step[],
  wantedMs: number,
): { readonly before?: string; readonly after?: string } {
  const before = latestBefore(steps, wantedMs);
  const after = Math.min(...steps.filter(({ fromMs }) => fromMs > wantedMs).map(({ fromMs }) => fromMs));
  return {
    ...(before === undefined ? {} : { before: iso(Math.min(before.toMs, wantedMs)) }),
    ...(after === Number.POSITIVE_INFINITY ? {} : { after: iso(after) }),
  };
}

/** The step that reaches the newest instant at or before `ms`. If several do, the first one, which is preferred. */
function latestBefore(steps: readonly Step[], ms: number): Step | undefined {
  let latest: Step | undefined;
  for (const step of steps) {
    if (step.fromMs > ms) continue;
    if (latest === undefined || Math.min(step.toMs, ms) > Math.min(latest.toMs, ms)) latest = step;
  }
  return latest;
}

function refused(
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

/** Other ways to the same instant, each with why it was not taken. If there are very many, only the first. */
function dearerWays(steps: readonly Step[], chosen: Step, wantedMs: number): readonly Note[] {
  const others = steps.filter((step) => step !== chosen && step.fromMs <= wantedMs && wantedMs <= step.toMs);
  return others.slice(0, MAX_OTHER_WAYS).map((step) => ({
    ms: wantedMs,
    text: `${capitalized(wayOf(step))} would give it too, and is passed over: ${costOfWay(step, chosen)}.`,
  }));
}

const MAX_OTHER_WAYS = 3;

function wayOf(step: Step): string {
  if ('schedule' in step) return `a ${step.way} by the snapshot schedule ${step.schedule}`;
  if (step.way === 'backup') return `backup ${step.entry.backup}`;
  return step.way === 'snapshot'
    ? `backup ${step.entry.backup} with the history that it carries`
    : `backup ${step.entry.backup} with the changes archived since`;
}

function costOfWay(step: Step, chosen: Step): string {
  if ('schedule' in step) return 'the first of two such ways is taken';
  if ('schedule' in chosen) return `it would fetch ${formatBytes(step.entry.storedBytes)}`;
  if (step.way === 'backup') return 'one that is trusted more, or is newer, is taken';
  return chosen.way === 'backup'
    ? 'nothing need be taken back at that instant'
    : 'the first of two such ways is taken';
}

const capitalized = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function subjectOf(step: Step): string {
  switch (step.way) {
    case 'snapshot':
      return `the files of ${step.entry.backup} carry the history from ${iso(step.fromMs)} to ${iso(step.toMs)}, and no other way to it costs less; it gives`;
    case 'backup':
      return `${step.entry.backup} holds`;
    case 'archive':
      return `${step.entry.backup} and the changes archived since give`;
    case 'rewind':
    case 'clone':
      return `the snapshot schedule ${step.schedule} gives`;
  }
}

function backupsOf(sources: readonly RecoverySource[]): readonly CatalogueEntry[] {
  return sources.flatMap((source) => (source.kind === 'backups' ? source.entries : []));
}

/** How many backups of the repository the catalogue leaves out. */
function hiddenBackups(sources: readonly RecoverySource[]): number {
  return sources.reduce(
    (sum, source) =>
      source.kind === 'backups' ? sum + Math.max(0, (source.total ?? 0) - source.entries.length) : sum,
    0,
  );
}

function isBetween(ms: number, before: string | undefined, after: string | undefined): boolean {
  return (before === undefined || ms > Date.parse(before)) && (after === undefined || ms < Date.parse(after));
}

function bounds({ from, to }: InstantRange): { readonly fromMs: number; readonly toMs: number } {
  return { fromMs: Date.parse(from), toMs: Date.parse(to) };
}

function instantOf(entry: CatalogueEntry): number {
  return Date.parse(entry.instant);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
