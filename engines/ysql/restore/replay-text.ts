import { formatAmount } from '../../../model/amounts.ts';
import type { ReplayReport } from '../../../model/replay.ts';
import { holdsLargeObjects } from '../large-objects.ts';
import type { DatabaseJob } from './job.ts';

/** Describes what was compared after a replay: only counts, since nothing holds the content that the replay should give. */
export function describeReplayed(
  tables: number,
  replays: readonly ReplayReport[],
  base: 'content' | 'counts',
): string {
  const transactions = replays.reduce((sum, report) => sum + report.transactions, 0);
  return `counts of ${formatAmount(tables, 'table')} after ${formatAmount(transactions, 'transaction')} were replayed; ${base} of the base only`;
}

/** Describes what a proof compared. */
export function describeProof(
  tables: number,
  replays: readonly ReplayReport[],
  { check, proves }: { readonly check: 'rows' | 'content'; readonly proves: string },
): string {
  const transactions = replays.reduce((sum, report) => sum + report.transactions, 0);
  const left = replays.reduce((sum, { notArchived }) => sum + notArchived.length, 0);
  const without = left === 0 ? '' : `; ${formatAmount(left, 'table')} not archived and not compared`;
  return `${check === 'content' ? 'content' : 'counts'} of ${formatAmount(tables, 'table')} with backup ${proves} after ${formatAmount(transactions, 'transaction')} were replayed${without}`;
}

const MAX_NAMED = 5;

/** What an operator has to know about a replay, one sentence each. */
export function notesOnReplay(
  { names, manifest, preData }: DatabaseJob,
  { to, lastTaken, firstLeftOut, notArchived }: ReplayReport,
): readonly string[] {
  const database = `Database "${names.to}"`;
  const some = notArchived.slice(0, MAX_NAMED).join(', ');
  const more = notArchived.length > MAX_NAMED ? ` and ${notArchived.length - MAX_NAMED} more` : '';
  const views = preData.some(({ type }) => type === 'MATERIALIZED VIEW');
  return [
    `${database} is as of ${to}: the last transaction in it is ${lastTaken ?? 'one of the backup'}; the first left out is ${firstLeftOut ?? 'none that the archive has'}.`,
    ...(notArchived.length === 0
      ? []
      : [
          `${database} has these tables as the backup has them, since their changes are not archived: ${some}${more}.`,
        ]),
    ...(views
      ? [
          `${database} has its materialised views as of the backup: REFRESH MATERIALIZED VIEW brings them up to date.`,
        ]
      : []),
    ...(manifest.tables.some(holdsLargeObjects)
      ? [`${database} has its large objects as the backup has them, since no archive of changes holds those.`]
      : []),
  ];
}
