import { isoOfMicros, microsOfIso, type StoredTimeline } from '../../../model/archive.ts';
import type { ArchiveGap, CatalogueEntry, InstantRange, RecoverySource } from '../../../model/recovery.ts';
import type { ArchiveChain } from '../../../model/replay.ts';
import { type BasePlace, basePlace } from '../../../planning/archive/base-place.ts';
import { furthestChain } from '../../../planning/archive/chain.ts';
import { provedUntil } from '../../../planning/archive/proofs.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import { archivedDatabases, readTimelines } from '../../../repository/archive/archive.ts';
import { readManifest } from '../../../repository/backups/manifest.ts';
import { mapBounded } from '../../../repository/bounded.ts';
import type { Cancellable, Store } from '../../../repository/store.ts';
import { readHoles } from './holes.ts';

const MANIFESTS_AT_ONCE = 8;

/** Backups from which a replay might begin, the newest first, and the timelines of each database. */
export interface Places {
  /** Without a place: the backup doesn't say which transactions it holds. */
  readonly bases: readonly { readonly base: CatalogueEntry; readonly place: BasePlace | undefined }[];
  readonly timelines: ReadonlyMap<string, readonly StoredTimeline[]>;
}

/** Reads the names of a plan's archive, and the manifests of the backups that may be bases. Empty where the plan has no archive. */
export async function readPlaces(
  store: Store,
  plan: string,
  entries: readonly CatalogueEntry[],
  options: Cancellable = {},
): Promise<Places> {
  const timelines = new Map<string, readonly StoredTimeline[]>();
  for (const database of await archivedDatabases(store, plan, options)) {
    timelines.set(database, await readTimelines(store, { plan, database }, options));
  }
  const all = [...timelines.values()].flat();
  const candidates = entries
    .filter((entry) => entry.contents === 'all' && mayBeBase(entry, all))
    .toSorted((one, other) => Date.parse(other.instant) - Date.parse(one.instant));
  const read = mapBounded(candidates, MANIFESTS_AT_ONCE, async (base) => {
    const { readPoint, databases } = await readManifest(store, { plan, backup: base.backup }, options);
    return {
      base,
      place: basePlace(
        readPoint,
        databases.map(({ name }) => name),
      ),
    };
  });
  return { bases: await Array.fromAsync(read), timelines };
}

/**
 * What a plan's archive of changes can bring back: a source for each base that the archive reaches back to, the newest base first. A
 * base from which it leads nowhere says why (`passedOver`). Empty where the plan has no archive. Reads names and manifests alone.
 */
export async function archiveSources(
  store: Store,
  plan: string,
  entries: readonly CatalogueEntry[],
  options: Cancellable = {},
): Promise<readonly RecoverySource[]> {
  const { bases, timelines } = await readPlaces(store, plan, entries, options);
  if (bases.length === 0) return [];
  const holes = await gapsOf(store, timelines);
  return bases.map(({ base, place }, index) => ({
    ...sourceFrom(base, place, timelines),
    // They are the plan's; once is enough, since sources go into the history of workflows.
    ...(index === 0 && holes.length > 0 ? { holes } : {}),
  }));
}

const MAX_HOLES = 50;

/** The newest holes of all databases. */
async function gapsOf(store: Store, timelines: Places['timelines']): Promise<readonly ArchiveGap[]> {
  const read = [...timelines].map(async ([database, stored]) =>
    (await readHoles(store, database, stored)).map(({ fromMicros, toMicros, reason }) => ({
      from: isoOfMicros(fromMicros),
      ...(toMicros === undefined ? {} : { to: isoOfMicros(toMicros) }),
      reason: `${database}: ${reason}`,
    })),
  );
  return (await Promise.all(read))
    .flat()
    .toSorted((one, other) => (one.from < other.from ? -1 : 1))
    .slice(-MAX_HOLES);
}

/** So that only manifests are read which may matter. */
function mayBeBase({ instant }: CatalogueEntry, timelines: readonly StoredTimeline[]): boolean {
  return timelines.some(({ timeline }) => Date.parse(timeline.createdAt) <= Date.parse(instant));
}

/** The instants that all databases of the base can be brought to. */
function sourceFrom(
  base: CatalogueEntry,
  place: BasePlace | undefined,
  timelines: ReadonlyMap<string, readonly StoredTimeline[]>,
): RecoverySource {
  const passedOver = (reason: string): RecoverySource => ({
    kind: 'archive',
    base,
    windows: [],
    chains: {},
    passedOver: reason,
  });
  if (place === undefined) return passedOver('the backup does not say which transactions it holds');
  const chains: Record<string, ArchiveChain> = {};
  let fromMicros = microsOfIso(place.seenBy);
  let toMicros = Number.POSITIVE_INFINITY;
  for (const database of place.databases) {
    const candidates = (timelines.get(database) ?? []).flatMap((stored) =>
      archiveWindow(database, [stored]).intervals.map((interval) => ({ ...stored, interval })),
    );
    const chain = furthestChain(database, candidates, place);
    if ('reason' in chain) return passedOver(chain.reason);
    chains[database] = chain;
    fromMicros = Math.max(fromMicros, chain.fromMicros);
    toMicros = Math.min(toMicros, chain.toMicros);
  }
  const window = wholeMilliseconds(fromMicros, toMicros);
  if (window === undefined) return passedOver('the archives of its databases have no instant in common');
  const proved = Object.entries(chains).map(([database, { timeline }]) => {
    const stored = timelines.get(database)?.find((one) => one.timeline.id === timeline);
    return provedUntil(microsOfIso(place.seenBy), stored?.proofs ?? []);
  });
  const provedMicros = Math.min(...proved);
  const isProved = provedMicros > microsOfIso(place.seenBy);
  return {
    kind: 'archive',
    base,
    windows: [window],
    chains,
    ...(isProved ? { provedTo: isoOfMicros(provedMicros) } : {}),
  };
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
