import { formatAmount, formatBytes, formatDuration } from '../../model/amounts.ts';
import type { ArchiveCost, RecoveryDecision, RecoveryRequest } from '../../model/recovery.ts';
import { describeRows } from '../../model/rows.ts';
import { describeInstant } from '../instant.ts';

/**
 * A decision as lines for people: what is done and why, what it costs, what an overwriting restore would lose, and what else the
 * operator should know. A refusal gives the nearest instants as JSON to paste.
 *
 * @param timezone IANA name of the zone whose local time is shown beside UTC
 */
export function decisionLines(decision: RecoveryDecision, timezone = 'UTC'): readonly string[] {
  if (decision.kind === 'refused') {
    return [
      `Refused (${decision.code}): ${decision.reason}.`,
      `  → ${decision.remedy}`,
      ...nearest('before', decision.before, timezone),
      ...nearest('after', decision.after, timezone),
      ...decision.notes.map((note) => `  note: ${note}`),
    ];
  }
  return [
    `${wayOf(decision)} gives the data of ${describeInstant(new Date(decision.instant), timezone)}: ${decision.why}.`,
    ...('cost' in decision ? [costLine(decision.cost)] : []),
    ...('archive' in decision ? [archiveLine(decision.archive)] : []),
    `  lost if it replaces the database: every change of the ${formatDuration(decision.lost.durationMs)} since, from ${decision.lost.from} to ${decision.lost.to}`,
    ...decision.notes.map((note) => `  note: ${note}`),
  ];
}

const QUOTED_AT_MOST = 200;

/** What a request asks for, for whoever approves it. What its sender wrote stands in quotes, on one line. */
export function wishLine({ replace, into, tables, reason }: RecoveryRequest): string {
  return [
    `asked for: ${replace === true ? 'in the place of the original' : 'beside the original'}`,
    ...(into === undefined ? [] : [`as ${quoted(into)}`]),
    ...(tables === undefined ? [] : [`only the tables ${quoted(tables)}`]),
    ...(reason === undefined ? [] : [`reason: ${quoted(reason)}`]),
  ].join('; ');
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? '';
  return text.length > QUOTED_AT_MOST ? `${text.slice(0, QUOTED_AT_MOST)}…` : text;
}

function wayOf(decision: Exclude<RecoveryDecision, { kind: 'refused' }>): string {
  switch (decision.way) {
    case 'backup':
      return `Backup ${decision.backup}`;
    case 'snapshot':
      return `Backup ${decision.backup} with the history that it carries`;
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

/** The line ends with the JSON alone, so that it can be pasted. */
function nearest(side: 'before' | 'after', instant: string | undefined, timezone: string): readonly string[] {
  if (instant === undefined) return [];
  const local = describeInstant(new Date(instant), timezone).slice(instant.length);
  return [`  nearest ${side}${local}: {"to": "${instant}"}`];
}
