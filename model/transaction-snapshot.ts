import { permanent } from './errors.ts';

/** Which transactions a snapshot sees, as `pg_current_snapshot()` writes it: `xmin:xmax:xip,xip…`, 64-bit numbers. */
export interface TransactionSnapshot {
  readonly xmin: bigint;
  readonly xmax: bigint;
  readonly inProgress: ReadonlySet<bigint>;
}

/** Reads such a text. Throws `ARCHIVE_SNAPSHOT` (permanent). */
export function parseTransactionSnapshot(text: string): TransactionSnapshot {
  const [, xmin, xmax, list] = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/.exec(text) ?? [];
  if (xmin === undefined || xmax === undefined || list === undefined) {
    throw permanent(
      'ARCHIVE_SNAPSHOT',
      `The backup's read point says "${text.slice(0, 100)}", which is no snapshot`,
      'Its manifest is damaged, or a newer version wrote it: restore from another backup.',
    );
  }
  const inProgress = list === '' ? [] : list.split(',').map(BigInt);
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), inProgress: new Set(inProgress) };
}

/**
 * Whether the snapshot sees the committed transaction `xid`. The stream carries only 32 bits of its number. The full number is the
 * one nearest to the snapshot's end, since two transactions of PostgreSQL are never further than 2^31 apart.
 */
export function isVisible({ xmin, xmax, inProgress }: TransactionSnapshot, xid: number): boolean {
  const full = xmax + BigInt.asIntN(32, BigInt(xid) - xmax);
  if (full >= xmax) return false;
  return full < xmin || !inProgress.has(full);
}
