import { formatBytes } from '../../model/amounts.ts';
import { iso } from './catalogue.ts';
import type { Note, Step } from './reach.ts';

/** Other ways to the same instant, each with why it was not taken. If there are very many, only the first. */
export function dearerWays(steps: readonly Step[], chosen: Step, wantedMs: number): readonly Note[] {
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

/** The beginning of the sentence that says why this way was taken. */
export function subjectOf(step: Step): string {
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
