import { type CatalogueEntry, damageIn } from '../../model/recovery.ts';

/**
 * Kept before the base's instant: a transaction that the base doesn't see may have written its commit a moment before, and clocks of
 * worker and source differ. The restore reads segments from ten minutes before the base.
 */
const MARGIN_MS = 30 * 60_000;

/**
 * The backup from which the oldest instant that the archive keeps is reached: the newest that is not after it and not known to be damaged. Undefined where there is
 * none: then the archive begins to be of use with the first backup that comes later.
 *
 * @param cutoffMs the oldest instant that is kept, milliseconds since 1970
 */
export function archiveBase(
  entries: readonly CatalogueEntry[],
  cutoffMs: number,
): CatalogueEntry | undefined {
  let newest: CatalogueEntry | undefined;
  for (const entry of entries) {
    const instantMs = Date.parse(entry.instant);
    // One without schema or rows, or that a verification found damaged, is no base. An older one is then kept, and more segments with it.
    const isBase = entry.contents === 'all' && damageIn(entry) === undefined;
    if (instantMs > cutoffMs || !isBase) continue;
    if (newest === undefined || instantMs > Date.parse(newest.instant)) newest = entry;
  }
  return newest;
}

/** Segments whose last commit is older may be dropped; milliseconds since 1970. */
export function archiveLimit(entries: readonly CatalogueEntry[], cutoffMs: number): number {
  const base = archiveBase(entries, cutoffMs);
  return (base === undefined ? cutoffMs : Math.min(cutoffMs, Date.parse(base.instant))) - MARGIN_MS;
}
