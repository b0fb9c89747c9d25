import { defined } from '../../model/defined.ts';
import {
  type CatalogueEntry,
  damageIn,
  type InstantRange,
  type RecoveryRequest,
  type RecoverySource,
} from '../../model/recovery.ts';
import type { ArchiveChain } from '../../model/replay.ts';
import { instantOf, iso } from './catalogue.ts';

/** Instants that one way reaches: a single one, or a range. */
export type Step = { readonly fromMs: number; readonly toMs: number } & (
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

/** A remark on the instant `ms`, for the decision or the refusal. */
export interface Note {
  readonly ms: number;
  readonly text: string;
}

/** What the sources can bring back for one request, and what was passed over. */
export interface Reach {
  /** In the order of preference: by source, then backups found good, then the later one. */
  readonly steps: readonly Step[];
  readonly passedOver: readonly Note[];
  /** Bases from which the archive of changes leads to no instant. */
  readonly deadEnds: readonly Note[];
  /** Why the universe's own history can't serve the request, whatever the instant. */
  readonly limits: readonly string[];
}

/** Collects each way to each instant, with the reasons why others were passed over. */
export function reachOf(sources: readonly RecoverySource[], request: RecoveryRequest): Reach {
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

/** The backups that can be restored by themselves. */
export function backupsIn(steps: readonly Step[]): readonly CatalogueEntry[] {
  return steps.flatMap((step) => (step.way === 'backup' ? [step.entry] : []));
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

/** Why a backup is not to be trusted with this request; completes a sentence. */
export function reasonToPassOver(entry: CatalogueEntry, request: RecoveryRequest): string | undefined {
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

/** The instants in a backup's history that can be restored: those after the last change of the schema. */
function carriedBy(step: Step): readonly Step[] {
  if (step.way !== 'backup' || step.entry.history === undefined) return [];
  const { safeFrom, to } = step.entry.history;
  return [{ ...bounds({ from: safeFrom, to }), way: 'snapshot', entry: step.entry }];
}

/** The step that reaches the newest instant at or before `ms`. If several do, the first one, which is preferred. */
export function latestBefore(steps: readonly Step[], ms: number): Step | undefined {
  let latest: Step | undefined;
  for (const step of steps) {
    if (step.fromMs > ms) continue;
    if (latest === undefined || Math.min(step.toMs, ms) > Math.min(latest.toMs, ms)) latest = step;
  }
  return latest;
}

/** The instants next to `wantedMs` that can be reached, as text. */
export function neighbours(
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

function bounds({ from, to }: InstantRange): { readonly fromMs: number; readonly toMs: number } {
  return { fromMs: Date.parse(from), toMs: Date.parse(to) };
}
