import { isoOfMicros } from '../../model/archive.ts';
import {
  type CatalogueEntry,
  damageIn,
  type RecoveryCost,
  type RecoveryDecision,
  type RecoverySource,
  type RestoreMeasurement,
} from '../../model/recovery.ts';
import { segmentsTo } from '../archive/chain.ts';
import { backupsOf, instantOf, iso } from './catalogue.ts';
import type { Note, Step } from './reach.ts';
import { estimateRestoreMs, restorePace } from './restore-pace.ts';

/** What a decision depends on besides the catalogue and the request. */
export interface PlanningContext {
  readonly now: Date;
  /** Earlier restores of the plan, on which the estimate rests. Drills in the catalogue are added to them. */
  readonly measurements?: readonly RestoreMeasurement[];
}

/** The decision to take `step` to the instant: what is lost, what it costs, and what the operator should know. */
export function decide(
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

/** Notes for every rewind and clone. They concern what the universe can't be asked about. */
const HISTORY_NOTES: Readonly<Record<'rewind' | 'clone', readonly string[]>> = {
  rewind: [
    'No data are fetched: the universe has the history itself.',
    'A TRUNCATE, or a change of roles or tablespaces, since that instant is not undone by it and may make it fail; then a backup is the way.',
  ],
  clone: ['No data are fetched: the clone shares its files with the database.'],
};

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
