import type { ListedBackup } from '../library/index.ts';
import { formatBytes, formatCount } from '../model/amounts.ts';
import { describeRows } from '../model/rows.ts';
import { offsetText, wallClockOf, wallText } from '../planning/zone.ts';
import type { Column } from './listing-table.ts';

/**
 * The columns of `list`. `short` fits into 80 characters. Pure. @param timezone IANA name of the zone whose local time `wide`
 * shows
 */
export function backupColumns(output: 'short' | 'wide', timezone: string): readonly Column<ListedBackup>[] {
  const short: readonly Column<ListedBackup>[] = [
    { title: 'BACKUP', cell: ({ backup }) => backup },
    { title: 'DATA OF', cell: ({ instant }) => `${instant.slice(0, 19)}Z` },
    {
      title: 'ROWS',
      align: 'right',
      cell: (backup) => describeRows(backup).replace(/ rows?$/, ''),
    },
    { title: 'STORED', align: 'right', cell: ({ storedBytes }) => formatBytes(storedBytes) },
    { title: 'VERIFIED', cell: ({ verified }) => verdictOf(verified?.verdict) },
  ];
  if (output === 'short') return short;
  return [
    ...short,
    { title: 'LEVEL', cell: ({ verified }) => verified?.level ?? '' },
    { title: 'AT', cell: ({ verified }) => verified?.at ?? '' },
    { title: 'TABLES', align: 'right', cell: ({ tables }) => formatCount(tables) },
    {
      title: 'NEW',
      align: 'right',
      cell: ({ newBytes }) => (newBytes === undefined ? '' : formatBytes(newBytes)),
    },
    { title: 'BYTES', align: 'right', cell: ({ bytes }) => formatBytes(bytes) },
    { title: 'EXACTLY', cell: ({ instant }) => instant },
    { title: 'LOCAL TIME', cell: ({ instant }) => localOf(instant, timezone) },
    { title: 'DELETED AFTER', cell: ({ marked }) => marked?.deleteAfter ?? '' },
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
