import { z } from 'zod';
import { defined } from '../../model/defined.ts';
import { mapBounded } from '../bounded.ts';
import { CONDEMNED_FOLDER, condemnationKey, verdictKey } from '../layout.ts';
import { getSealedIfThere, putSealed } from '../sealed-object.ts';
import type { Cancellable, Store } from '../store.ts';

/**
 * Shared objects that no manifest named when a sweep looked, and that a sweep will delete after the grace time. A writer that wants
 * to rely on one of them before *spares* the whole condemnation. A conditional put decides once between spared and executed. So no
 * clock matters, and no object is deleted that a writer has begun to rely on.
 */
export interface Condemnation {
  readonly id: string;
  readonly objects: readonly string[];
  readonly condemnedAt: Date;
  readonly verdict: 'pending' | Verdict;
  /** When it was decided. */
  readonly decidedAt?: Date;
}

export type Verdict = 'spared' | 'executed';

const condemnationSchema = z.object({ formatVersion: z.literal(1), objects: z.array(z.string()) });
const verdictSchema = z.object({ verdict: z.enum(['spared', 'executed']) });

const READ_AT_ONCE = 8;
const SUFFIX = '.json';

/** Writes a condemnation. @param id sorts by time, unique. */
export async function condemn(
  store: Store,
  id: string,
  objects: readonly string[],
  options: Cancellable = {},
): Promise<void> {
  await putSealed(store, condemnationKey(id), { formatVersion: 1, objects }, options);
}

/**
 * What was read of the condemnations that are there, by id: each task of a backup asks for all of them (O3), and neither what one names nor its verdict ever
 * changes.
 */
const knownOf = new WeakMap<Store, ReadonlyMap<string, Condemnation>>();

/** All condemnations, decided or not, by one listing, and a request or two for each that this process has not read yet. */
export async function readCondemnations(
  store: Store,
  options: Cancellable = {},
): Promise<readonly Condemnation[]> {
  const listed = new Map<string, Date>();
  for await (const { key, modifiedAt } of store.list(CONDEMNED_FOLDER, options)) listed.set(key, modifiedAt);
  const ids = [...listed.keys()]
    .filter((key) => key.endsWith(SUFFIX))
    .map((key) => key.slice(CONDEMNED_FOLDER.length, -SUFFIX.length));
  const known = knownOf.get(store);
  const read = async (id: string): Promise<Condemnation | undefined> => {
    const before = known?.get(id);
    const found = before ?? (await getSealedIfThere(store, condemnationKey(id), condemnationSchema, options));
    // It was removed after the listing, so it was decided longer than the grace time ago.
    if (found === undefined) return undefined;
    const decidedAt = listed.get(verdictKey(id));
    const verdict = decidedAt === undefined ? 'pending' : await verdictOf(store, id, before, options);
    return {
      id,
      objects: found.objects,
      condemnedAt: listed.get(condemnationKey(id)) ?? new Date(),
      verdict,
      ...defined({ decidedAt }),
    };
  };
  const condemnations: Condemnation[] = [];
  for await (const condemnation of mapBounded(ids, READ_AT_ONCE, read)) {
    if (condemnation !== undefined) condemnations.push(condemnation);
  }
  knownOf.set(store, new Map(condemnations.map((condemnation) => [condemnation.id, condemnation])));
  return condemnations;
}

async function verdictOf(
  store: Store,
  id: string,
  known: Condemnation | undefined,
  options: Cancellable,
): Promise<Condemnation['verdict']> {
  if (known !== undefined && known.verdict !== 'pending') return known.verdict;
  return (await readVerdict(store, id, options)) ?? 'pending';
}

/** Decides a condemnation unless it is already decided. Returns the decision that holds. */
export async function decide(
  store: Store,
  id: string,
  verdict: Verdict,
  options: Cancellable = {},
): Promise<Verdict> {
  const value = { formatVersion: 1, verdict, at: new Date().toISOString() };
  if ((await putSealed(store, verdictKey(id), value, options)) === 'created') return verdict;
  // It was removed meanwhile, so a sweep had decided it long ago.
  return (await readVerdict(store, id, options)) ?? 'executed';
}

async function readVerdict(store: Store, id: string, options: Cancellable): Promise<Verdict | undefined> {
  return (await getSealedIfThere(store, verdictKey(id), verdictSchema, options))?.verdict;
}

/**
 * O3: spares every condemnation that names one of these objects. Must be called before anything that relies on them is written.
 * Returns the objects that are being deleted: nothing may rely on them, and their keys must not be used again.
 */
export async function spare(
  store: Store,
  objects: ReadonlySet<string>,
  options: Cancellable = {},
): Promise<ReadonlySet<string>> {
  const lost = new Set<string>();
  for (const condemnation of await readCondemnations(store, options)) {
    const needed = condemnation.objects.filter((key) => objects.has(key));
    if (needed.length === 0 || condemnation.verdict === 'spared') continue;
    const isPending = condemnation.verdict === 'pending';
    const verdict = isPending ? await decide(store, condemnation.id, 'spared', options) : 'executed';
    if (verdict === 'executed') for (const key of needed) lost.add(key);
  }
  return lost;
}
