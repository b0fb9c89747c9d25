import { formatDuration } from '../../model/amounts.ts';
import type {
  RecoveryDecision,
  RecoveryRequest,
  RecoverySource,
  RecoveryWindow,
} from '../../model/recovery.ts';
import { readInstant } from '../instant.ts';
import { historyHoles, historyRanges } from './carried-history.ts';
import { backupsOf, hiddenBackups, instantOf, iso } from './catalogue.ts';
import { decide, type PlanningContext } from './decide.ts';
import { dearerWays, subjectOf } from './other-ways.ts';
import { unionOf } from './range-union.ts';
import {
  backupsIn,
  latestBefore,
  type Note,
  neighbours,
  type Reach,
  reachOf,
  reasonToPassOver,
  type Step,
} from './reach.ts';
import { deadEndBefore, nothing, refused, unreachable } from './refuse.ts';

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
