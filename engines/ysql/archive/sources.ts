import { isoOfMicros, microsOfIso, type StoredTimeline } from '../../../model/archive.ts';
import type { SnapshotPlace } from '../../../model/backup.ts';
import type { CatalogueEntry, InstantRange, RecoverySource } from '../../../model/recovery.ts';
import type { ArchiveChain } from '../../../model/replay.ts';
import { chainFrom } from '../../../planning/archive-chain.ts';
import { archiveWindow } from '../../../planning/archive-window.ts';
import { archivedDatabases, readTimelines } from '../../../repository/archive.ts';
import { mapBounded } from '../../../repository/bounded.ts';
import { readManifest } from '../../../repository/manifest.ts';
import type { Store } from '../../../repository/store.ts';

const MANIFESTS_AT_ONCE = 8;

/**
 * What a plan's archive of changes can bring back, a source for each base from which it leads anywhere, the newest base first; empty
 * where the plan has no archive. From names and manifests alone.
 */
export async function archiveSources(
  store: Store,
  plan: string,
  entries: readonly CatalogueEntry[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<readonly RecoverySource[]> {
  const databases = await archivedDatabases(store, plan, options);
  if (databases.length === 0) return [];
  const timelines = new Map<string, readonly StoredTimeline[]>();
  for (const database of databases) {
    timelines.set(database, await readTimelines(store, { plan, database }, options));
  }
  const bases = entries
    .filter((entry) => entry.contents === 'all' && mayBeBase(entry, [...timelines.values()].flat()))
    .toSorted((one, other) => Date.parse(other.instant) - Date.parse(one.instant));
  const sources = mapBounded(bases, MANIFESTS_AT_ONCE, async (base): Promise<RecoverySource | undefined> => {
    const { readPoint } = await readManifest(store, { plan, backup: base.backup }, options);
    const place = readPoint.kind === 'pg-snapshot' ? readPoint.place : undefined;
    return place === undefined ? undefined : sourceFrom(base, place, timelines);
  });
  return (await Array.fromAsync(sources)).filter((source) => source !== undefined);
}

/** So that only manifests are read which may matter. */
function mayBeBase({ instant }: CatalogueEntry, timelines: readonly StoredTimeline[]): boolean {
  return timelines.some(({ timeline }) => Date.parse(timeline.createdAt) <= Date.parse(instant));
}

/** The instants that all databases of the base can be brought to; undefined where there are none. */
function sourceFrom(
  base: CatalogueEntry,
  place: SnapshotPlace,
  timelines: ReadonlyMap<string, readonly StoredTimeline[]>,
): RecoverySource | undefined {
  const chains: Record<string, ArchiveChain> = {};
  let fromMicros = microsOfIso(place.seenBy);
  let toMicros = Number.POSITIVE_INFINITY;
  for (const database of Object.keys(place.snapshotXids)) {
    const chain = furthestChain(database, place, timelines.get(database) ?? []);
    if (chain === undefined) return undefined;
    chains[database] = chain;
    fromMicros = Math.max(fromMicros, chain.fromMicros);
    toMicros = Math.min(toMicros, chain.toMicros);
  }
  const window = wholeMilliseconds(fromMicros, toMicros);
  return window === undefined ? undefined : { kind: 'archive', base, windows: [window], chains };
}

function furthestChain(
  database: string,
  place: SnapshotPlace,
  timelines: readonly StoredTimeline[],
): ArchiveChain | undefined {
  let furthest: ArchiveChain | undefined;
  for (const stored of timelines) {
    for (const interval of archiveWindow(database, [stored]).intervals) {
      const chain = chainFrom({ timeline: stored.timeline, interval }, place);
      if ('reason' in chain) continue;
      if (furthest === undefined || chain.toMicros > furthest.toMicros) furthest = chain;
    }
  }
  return furthest;
}

/** Instants are offered to the millisecond: rounded inwards, so that each can be had. */
function wholeMilliseconds(fromMicros: number, toMicros: number): InstantRange | undefined {
  const [from, to] = [Math.ceil(fromMicros / 1000), Math.floor(toMicros / 1000)];
  if (!Number.isFinite(to) || from > to) return undefined;
  return { from: isoMillis(from), to: isoMillis(to) };
}

function isoMillis(ms: number): string {
  return `${isoOfMicros(ms * 1000).slice(0, -4)}Z`;
}
