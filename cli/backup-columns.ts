import { formatBytes, formatCount } from '../model/amounts.ts';
import { instantOf } from '../model/manifest.ts';
import { describeRows, rowsOf } from '../model/rows.ts';
import { offsetText, wallClockOf, wallText } from '../planning/zone.ts';
import type { PlanListing } from './backups.ts';
import type { Column } from './listing-table.ts';

type Row = PlanListing['backups'][number];

/**
 * The columns of `list`. `short` fits into 80 characters. Pure. @param timezone IANA name of the zone whose local time `wide`
 * shows
 */
export function backupColumns(output: 'short' | 'wide', timezone: string): readonly Column<Row>[] {
  const short: readonly Column<Row>[] = [
    { title: 'BACKUP', cell: ({ manifest }) => manifest.backup },
    { title: 'DATA OF', cell: ({ manifest }) => `${instantOf(manifest).slice(0, 19)}Z` },
    {
      title: 'ROWS',
      align: 'right',
      cell: ({ manifest }) => describeRows(rowsOf(manifest)).replace(/ rows?$/, ''),
    },
    { title: 'STORED', align: 'right', cell: ({ manifest }) => formatBytes(manifest.totals.storedBytes) },
    { title: 'VERIFIED', cell: ({ verified }) => verdictOf(verified?.verdict) },
  ];
  if (output === 'short') return short;
  return [
    ...short,
    { title: 'LEVEL', cell: ({ verified }) => verified?.level ?? '' },
    { title: 'AT', cell: ({ verified }) => verified?.finishedAt ?? '' },
    { title: 'TABLES', align: 'right', cell: ({ manifest }) => formatCount(manifest.totals.tables) },
    { title: 'BYTES', align: 'right', cell: ({ manifest }) => formatBytes(manifest.totals.bytes) },
    { title: 'EXACTLY', cell: ({ manifest }) => instantOf(manifest) },
    { title: 'LOCAL TIME', cell: ({ manifest }) => localOf(instantOf(manifest), timezone) },
    { title: 'DELETED AFTER', cell: ({ mark }) => mark?.deleteAfter ?? '' },
    { title: 'HELD', cell: ({ held }) => held ?? '' },
    { title: 'DELETION', cell: ({ deletion }) => deletion ?? '' },
  ];
}

/** A verdict for the column. Only INCONCLUSIVE is longer than the column. */
function verdictOf(verdict: string | undefined): string {
  if (verdict === undefined) return 'never';
  return verdict === 'INCONCLUSIVE' ? 'unclear' : verdict;
}

function localOf(instant: string, timezone: string): string {
  const ms = Date.parse(instant);
  return `${wallText(wallClockOf(ms, timezone))}${offsetText(ms, timezone)}`;
}
