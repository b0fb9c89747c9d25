import { formatAmount, formatBytes, formatDuration } from '../model/amounts.ts';
import type { ArchiveCost, RecoveryDecision } from '../model/recovery.ts';
import { describeRows } from '../model/rows.ts';

/**
 * A decision as lines for people: what is done and why, what it costs, what an overwriting restore would lose, and what else
 * to know. A refusal has the nearest instants as JSON to paste.
 */
export function decisionLines(decision: RecoveryDecision): readonly string[] {
  if (decision.kind === 'refused') {
    return [
      `Refused (${decision.code}): ${decision.reason}.`,
      `  → ${decision.remedy}`,
      ...nearest('before', decision.before),
      ...nearest('after', decision.after),
      ...decision.notes.map((note) => `  note: ${note}`),
    ];
  }
  return [
    `${wayOf(decision)} gives the data of ${decision.instant}: ${decision.why}.`,
    ...('cost' in decision ? [costLine(decision.cost)] : []),
    ...('archive' in decision ? [archiveLine(decision.archive)] : []),
    `  lost if it replaces the database: every change of the ${formatDuration(decision.lost.durationMs)} since, from ${decision.lost.from} to ${decision.lost.to}`,
    ...decision.notes.map((note) => `  note: ${note}`),
  ];
}

function wayOf(decision: Exclude<RecoveryDecision, { kind: 'refused' }>): string {
  switch (decision.way) {
    case 'backup':
      return `Backup ${decision.backup}`;
    case 'archive':
      return `Backup ${decision.backup} with the changes archived since`;
    case 'rewind':
      return `A rewind by the snapshot schedule ${decision.schedule}`;
    case 'clone':
      return `A clone by the snapshot schedule ${decision.schedule}`;
  }
}

function archiveLine({ segments, storedBytes }: ArchiveCost): string {
  return `  archive: ${formatAmount(segments, 'segment')}, ${formatBytes(storedBytes)} to fetch and replay; how long that takes is not measured yet`;
}

function costLine({
  rows,
  bytes,
  storedBytes,
  estimatedMs,
  basis,
}: Extract<RecoveryDecision, { readonly way: 'backup' }>['cost']): string {
  const amount = `${describeRows({ rows })}, ${formatBytes(bytes)}, ${formatBytes(storedBytes)} to fetch`;
  return estimatedMs === undefined
    ? `  cost: ${amount}; how long is not known: ${basis}`
    : `  cost: ${amount}; about ${formatDuration(estimatedMs)}, ${basis}`;
}

function nearest(side: 'before' | 'after', instant: string | undefined): readonly string[] {
  return instant === undefined ? [] : [`  nearest ${side}: {"to": "${instant}"}`];
}
