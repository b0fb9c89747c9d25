import { z } from 'zod';
import type { StoredSegment, StoredTimeline } from '../../model/archive.ts';
import { getSealedIfThere } from '../sealed-object.ts';
import type { Store } from '../store.ts';
import { isDamage } from '../store-errors.ts';
import { archivedDatabases, readTimelines } from './archive.ts';
import { type ArchiveId, timelineEndKey, timelineKey } from './names.ts';

interface Options {
  readonly signal: AbortSignal;
  readonly heartbeat: () => void;
}

const partsSchema = z.object({ parts: z.array(z.object({ sha256: z.string() })) });

/**
 * Drops the oldest segments of a plan's archive, one after another from the beginning, so that a prune that dies leaves a chain without a
 * gap: the first segment that is kept, and everything behind it, stays. A timeline that has ended goes with its last segment.
 *
 * @param limitMs segments whose last commit is older are dropped, milliseconds since 1970
 */
export async function dropOldSegments(
  store: Store,
  plan: string,
  limitMs: number,
  { signal, heartbeat }: Options,
): Promise<{ readonly deletedSegments: number; readonly deletedBytes: number }> {
  let deletedSegments = 0;
  let deletedBytes = 0;
  for (const database of await archivedDatabases(store, plan, { signal })) {
    const id = { plan, database };
    const timelines = await readTimelines(store, id, { signal });
    for (const [index, stored] of timelines.entries()) {
      const isNewest = index === timelines.length - 1;
      const old = leadingOld(stored, limitMs * 1000, isNewest);
      const hasParts = old.some(({ isInParts }) => isInParts);
      const use = await readPartUse(store, hasParts ? stored.segments : [], { signal, heartbeat });
      for (const segment of old) {
        await dropSegment(store, segment, use, signal);
        deletedSegments += 1;
        deletedBytes += segment.sizeBytes;
        heartbeat();
      }
      const isEmpty = old.length === stored.segments.length;
      const endedMs = Date.parse(stored.end?.endedAt ?? '');
      if (!isNewest && isEmpty && endedMs < limitMs) await dropTimeline(store, id, stored, signal);
    }
  }
  return { deletedSegments, deletedBytes };
}

/**
 * In order of position, up to the first that is young enough. The last one of the newest timeline stays: it says where the archive ends, and
 * so where it goes on. Where the first young one begins later than the limit, the one before it stays: it says that nothing was committed between, without
 * which a base from that time would have nothing to begin with.
 */
function leadingOld(
  { segments }: StoredTimeline,
  limitMicros: number,
  isNewest: boolean,
): readonly StoredSegment[] {
  const young = segments.findIndex(({ maxCommitMicros }) => maxCommitMicros >= limitMicros);
  const old = young < 0 ? segments : segments.slice(0, young);
  const from = segments[young]?.minCommitMicros ?? (isNewest ? Number.POSITIVE_INFINITY : limitMicros);
  return from > limitMicros ? old.slice(0, -1) : old;
}

/** How many segments have each part of a large transaction, by key. */
type PartUse = Map<string, number>;

/**
 * Parts are named by their bytes, and two transactions that wrote the same rows could have a part in common before parts were stamped (`takePart` in
 * engines/ysql/archive/segment-builder.ts). So a part goes with the last segment that has it.
 */
async function readPartUse(
  store: Store,
  segments: readonly StoredSegment[],
  { signal, heartbeat }: Options,
): Promise<PartUse> {
  const use: PartUse = new Map();
  for (const segment of segments) {
    for (const key of await partsOf(store, segment, signal)) use.set(key, (use.get(key) ?? 0) + 1);
    heartbeat();
  }
  return use;
}

/** Keys, each once. None where the list is damaged: nobody can read the segment any more. */
async function partsOf(
  store: Store,
  { key, isInParts }: StoredSegment,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (!isInParts) return [];
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  try {
    const list = await getSealedIfThere(store, key, partsSchema, { signal });
    return [...new Set((list?.parts ?? []).map(({ sha256 }) => `${folder}parts/${sha256}.zst`))];
  } catch (error) {
    if (isDamage(error)) return [];
    throw error;
  }
}

/** Deletes the parts first. If a prune is killed in between, the segment still names the parts that are left. */
async function dropSegment(
  store: Store,
  segment: StoredSegment,
  use: PartUse,
  signal: AbortSignal,
): Promise<void> {
  const last: string[] = [];
  for (const key of await partsOf(store, segment, signal)) {
    const others = (use.get(key) ?? 1) - 1;
    use.set(key, others);
    if (others === 0) last.push(key);
  }
  await store.delete(last, { signal });
  await store.delete([segment.key], { signal });
}

/** Its end last: a timeline without an end would seem to go on. */
async function dropTimeline(
  store: Store,
  id: ArchiveId,
  { timeline, proofs = [] }: StoredTimeline,
  signal: AbortSignal,
): Promise<void> {
  await store.delete(
    proofs.map(({ key }) => key),
    { signal },
  );
  await store.delete([timelineKey(id, timeline.id)], { signal });
  await store.delete([timelineEndKey(id, timeline.id)], { signal });
}
