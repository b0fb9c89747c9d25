import fc from 'fast-check';
import type { CatalogueEntry } from '../../model/recovery.ts';

export const NOW = new Date('2026-11-24T12:00:00.000Z');
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** A backup whose data is `agoMs` older than `NOW`. */
export function entryAt(agoMs: number, more: Partial<CatalogueEntry> = {}): CatalogueEntry {
  const instant = new Date(NOW.getTime() - agoMs).toISOString();
  return {
    backup: `b${instant.replaceAll(/[-:.]/g, '')}`,
    instant,
    completedAt: instant,
    rows: 10,
    bytes: 1_000,
    storedBytes: 400,
    contents: 'all',
    ...more,
  };
}

export const OK = {
  verified: { level: 'checksums', verdict: 'OK', at: NOW.toISOString() },
  lastGood: { level: 'checksums', at: NOW.toISOString() },
} as const;
export const FAILED = { verified: { level: 'checksums', verdict: 'FAILED', at: NOW.toISOString() } } as const;

const history = fc.constantFrom<Partial<CatalogueEntry>>({}, OK, FAILED);

/** Catalogues of backups made around a few instants, so that some share one; names say nothing about time. */
export const anyEntries = (options: { readonly future?: boolean } = {}): fc.Arbitrary<CatalogueEntry[]> =>
  fc
    .array(
      fc.record({
        agoMs: fc.oneof(
          fc.integer({ min: options.future === true ? -3 : 0, max: 40 }).map((hours) => hours * HOUR_MS),
          fc.integer({ min: 0, max: 900 }).map((days) => days * DAY_MS),
          fc.integer({ min: 0, max: 900 * DAY_MS }),
        ),
        history,
        name: fc.stringMatching(/^[a-z]{6}$/),
      }),
      { maxLength: 40 },
    )
    .map((drafts) =>
      drafts.map(({ agoMs, history, name }, index) =>
        entryAt(agoMs, { ...history, backup: `${name}-${index}` }),
      ),
    );

/** Says how many cases a property was tried with. */
export function told(count: number, what: string): void {
  process.stdout.write(`    ${count} cases: ${what}\n`);
}
