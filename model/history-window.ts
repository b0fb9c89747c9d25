import type { DatabaseSnapshot } from './backup.ts';
import type { HistoryWindow } from './carried-history.ts';
import type { Manifest } from './manifest.ts';

/** The history that all databases of a backup carry. Undefined where it carries none, or none of at least a millisecond. */
export function windowOf({ readPoint }: Pick<Manifest, 'readPoint'>): HistoryWindow | undefined {
  if (readPoint.kind !== 'universe-snapshot') return undefined;
  const held = readPoint.databases.filter(({ snapshot }) => snapshot !== undefined);
  const windows = held.map(windowOfDatabase);
  const known = windows.filter((window) => window !== undefined);
  if (known.length === 0 || known.length < windows.length) return undefined;
  const from = Math.max(...known.map((window) => window.from));
  const to = Math.min(...known.map((window) => window.to));
  if (from > to) return undefined;
  const safeFrom = Math.min(to, Math.max(from, ...known.map((window) => window.safeFrom)));
  return {
    from: iso(from),
    to: iso(to),
    safeFrom: iso(safeFrom),
    ...(known.some(({ catalogRose }) => catalogRose) ? { catalogRose: true } : {}),
  };
}

function windowOfDatabase({ snapshotTime, history }: DatabaseSnapshot) {
  if (snapshotTime === undefined || history === undefined) return undefined;
  const to = Math.floor(millisecondsOf(snapshotTime));
  const from = Math.ceil(millisecondsOf(history.from));
  const { schemaSince, catalogRose = false } = history;
  const safeFrom = schemaSince === undefined ? to : Math.max(from, Math.ceil(millisecondsOf(schemaSince)));
  return { from, to, safeFrom, catalogRose };
}

/** Milliseconds since 1970, with a fraction: `Date` drops whatever is finer than a millisecond. */
function millisecondsOf(time: string): number {
  const [, finer = ''] = /\.\d{3}(\d+)/.exec(time) ?? [];
  return Date.parse(time) + (finer === '' ? 0 : Number(`0.${finer}`));
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
