import type { CatalogueEntry, RecoverySource } from '../../model/recovery.ts';

/** The backups that the catalogue lists, in its order. */
export function backupsOf(sources: readonly RecoverySource[]): readonly CatalogueEntry[] {
  return sources.flatMap((source) => (source.kind === 'backups' ? source.entries : []));
}

/** How many backups of the repository the catalogue leaves out. */
export function hiddenBackups(sources: readonly RecoverySource[]): number {
  return sources.reduce(
    (sum, source) =>
      source.kind === 'backups' ? sum + Math.max(0, (source.total ?? 0) - source.entries.length) : sum,
    0,
  );
}

/** The instant whose data a backup holds, in milliseconds since 1970. */
export function instantOf(entry: CatalogueEntry): number {
  return Date.parse(entry.instant);
}

/** Milliseconds since 1970 as they are written for people and in decisions. */
export function iso(ms: number): string {
  return new Date(ms).toISOString();
}
