import { isoOfMicros, microsOfIso, type StoredTimeline } from '../../../model/archive.ts';
import type { ProofWish } from '../../../model/archive-proof.ts';
import type { CatalogueEntry } from '../../../model/recovery.ts';
import type { BasePlace } from '../../../planning/archive/base-place.ts';
import { chainFrom } from '../../../planning/archive/chain.ts';
import { isSpokenOf } from '../../../planning/archive/proofs.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import type { Cancellable, Store } from '../../../repository/store.ts';
import { readPlaces } from './sources.ts';

/** Why there is nothing to prove, a clause. */
interface NothingToProve {
  readonly reason: string;
}

/**
 * The oldest stretch of a plan's archive that no proof has spoken of: from a backup to the furthest later one that the archive leads to
 * without a gap and without a stretch between that a proof has spoken of. From names and manifests alone.
 */
export async function nextProof(
  store: Store,
  plan: string,
  entries: readonly CatalogueEntry[],
  options: Cancellable = {},
): Promise<ProofWish | NothingToProve> {
  const { bases, timelines } = await readPlaces(store, plan, entries, options);
  if (timelines.size === 0) return { reason: 'the repository holds no archive of changes of this plan' };
  const places = bases
    .flatMap(({ base, place }) => (place === undefined ? [] : [{ backup: base.backup, place }]))
    .toSorted((one, other) => microsOfIso(one.place.seenBy) - microsOfIso(other.place.seenBy));
  for (const [index, base] of places.entries()) {
    const chosen = openTimelines(base.place, timelines);
    let against: (typeof places)[number] | undefined;
    let from = base;
    for (const later of places.slice(index + 1)) {
      if (!leadsTo(chosen, from.place, later.place)) break;
      against = later;
      from = later;
    }
    if (chosen === undefined || against === undefined) continue;
    const [fromMicros, toMicros] = [microsOfIso(base.place.seenBy), microsOfIso(against.place.seenBy)];
    return {
      base: base.backup,
      against: against.backup,
      fromMicros,
      toMicros,
      to: isoOfMicros(toMicros),
      timelines: Object.fromEntries(
        [...chosen].map(([database, { stored }]) => [database, stored.timeline.id]),
      ),
    };
  }
  return {
    reason: 'no two backups have a stretch of the archive between them that no proof has spoken of',
  };
}

interface Open {
  readonly stored: StoredTimeline;
  /** Up to where the base can be replayed. */
  readonly toMicros: number;
}

/** For each database of the base the timeline that leads furthest; undefined where one has none. What proofs say of it is left to `leadsTo`. */
function openTimelines(
  place: BasePlace,
  timelines: ReadonlyMap<string, readonly StoredTimeline[]>,
): ReadonlyMap<string, Open> | undefined {
  const found = new Map<string, Open>();
  for (const database of place.databases) {
    for (const stored of timelines.get(database) ?? []) {
      for (const interval of archiveWindow(database, [stored]).intervals) {
        const chain = chainFrom({ timeline: stored.timeline, interval }, place);
        if ('reason' in chain || chain.toMicros <= (found.get(database)?.toMicros ?? 0)) continue;
        found.set(database, { stored, toMicros: chain.toMicros });
      }
    }
    if (!found.has(database)) return undefined;
  }
  return found;
}

function leadsTo(chosen: ReadonlyMap<string, Open> | undefined, from: BasePlace, to: BasePlace): boolean {
  const stretch = { fromMicros: microsOfIso(from.seenBy), toMicros: microsOfIso(to.seenBy) };
  if (chosen === undefined) return false;
  return to.databases.every((database) => {
    const open = chosen.get(database);
    return (
      open !== undefined &&
      open.toMicros >= stretch.toMicros &&
      !isSpokenOf(stretch, open.stored.proofs ?? [])
    );
  });
}
