import { randomBytes } from 'node:crypto';
import { defined } from '../../model/defined.ts';
import { DAY_MS } from '../../model/time.ts';
import { condemnationKey, OBJECTS_FOLDER, verdictKey } from '../layout.ts';
import type { Cancellable, Store } from '../store.ts';
import { type Condemnation, condemn, decide, readCondemnations } from './condemned.ts';
import { removeFromIndex } from './index-removal.ts';
import { referencedObjects } from './references.ts';

const DELETE_BATCH = 1_000;
const OBJECTS_PER_CONDEMNATION = 10_000;

/** How shared objects are swept. */
export interface SweepObjectsOptions {
  /**
   * How long a condemned object stays, and how old an object must be to be condemned, milliseconds. It must be longer than any pause
   * of a writer between its last look at the condemnations and its manifest.
   */
  readonly graceMs: number;
  /** How long a decision to delete may be carried out, milliseconds; it is forgotten after twice that. Default a day. Every sweep of a repository must have the same. */
  readonly decisionMs?: number;
  /** True: only reports what it would condemn and delete. */
  readonly dryRun?: boolean;
  readonly heartbeat?: () => void;
  readonly signal?: AbortSignal;
}

interface SweepObjectsResult {
  /** Objects that were found unneeded now. A sweep after the grace time deletes them. */
  readonly condemnedObjects: number;
  readonly condemnedBytes: number;
  readonly deletedObjects: number;
}

/**
 * Removes shared objects that no manifest names, in two phases a grace time apart, and never anything else. To be called after backups
 * were deleted; several sweeps may run at once. After a crash at any point, the next call finishes the work.
 *
 * O4: deletes an object only after three things: its condemnation was executed (decided once, against writers who spare it); every
 * manifest and every result of a backup under way was read *since*; and the last index object that lists it is gone.
 * Throws, and deletes nothing, where a manifest or one of its lists can't be read (M5).
 */
export async function sweepObjects(store: Store, options: SweepObjectsOptions): Promise<SweepObjectsResult> {
  const cancellable = defined({ signal: options.signal });
  const deletedObjects = await executeDue(store, options, cancellable);
  const condemned = await condemnUnreferenced(store, options, cancellable);
  return { ...condemned, deletedObjects };
}

/**
 * Second phase: deletes what was condemned a grace time ago and not spared.
 *
 * O4: no key is used again while a sweep may still delete it. So a sweep deletes only what was decided less than a day before it looked, and a decision is forgotten, whereupon its keys
 * may be used, after two, whatever the grace times of the two sweeps. What a sweep that died left is condemned anew then.
 */
async function executeDue(
  store: Store,
  options: SweepObjectsOptions,
  cancellable: Cancellable,
): Promise<number> {
  const { young, over } = await executedBy(Date.now(), store, options, cancellable);
  if (young.length + over.length === 0) return 0;
  // The references are read after the verdicts. So a writer whose result or manifest isn't seen here has seen the verdicts.
  const needed = await referencedObjects(store, { ...options, ...cancellable });
  const unneededOf = (executed: readonly Condemnation[]) =>
    new Set(executed.flatMap(({ objects }) => objects.filter((key) => !needed.has(key))));
  const doomed = unneededOf(young);
  const present = await onlyPresent(store, doomed, options, cancellable);
  if (options.dryRun === true) return present.length;
  // A writer that came late may have told of what is gone.
  await removeFromIndex(store, new Set([...doomed, ...unneededOf(over)]), options);
  for (let start = 0; start < present.length; start += DELETE_BATCH) {
    await store.delete(present.slice(start, start + DELETE_BATCH), cancellable);
    options.heartbeat?.();
  }
  for (const condemnation of over) await forget(store, condemnation, cancellable);
  return present.length;
}

/** The condemnations that are executed: those that are due are decided now. `young`: what they name may be deleted. `over`: they are to be forgotten. */
async function executedBy(
  now: number,
  store: Store,
  options: SweepObjectsOptions,
  cancellable: Cancellable,
): Promise<{ readonly young: readonly Condemnation[]; readonly over: readonly Condemnation[] }> {
  const { graceMs, decisionMs = DAY_MS } = options;
  const young: Condemnation[] = [];
  const over: Condemnation[] = [];
  for (const condemnation of await readCondemnations(store, cancellable)) {
    const { verdict, decidedAt } = condemnation;
    if (verdict === 'pending') {
      if (condemnation.condemnedAt.getTime() > now - graceMs) continue;
      if (
        options.dryRun === true ||
        (await decide(store, condemnation.id, 'executed', cancellable)) === 'executed'
      )
        young.push(condemnation);
    } else if (verdict === 'executed') {
      if (!isBefore(decidedAt, now - decisionMs)) young.push(condemnation);
      else if (isBefore(decidedAt, now - 2 * decisionMs)) over.push(condemnation);
    } else if (isBefore(decidedAt, now - graceMs) && options.dryRun !== true) {
      await forget(store, condemnation, cancellable);
    }
  }
  return { young, over };
}

/** First phase: condemns objects that nothing references. */
async function condemnUnreferenced(
  store: Store,
  options: SweepObjectsOptions,
  cancellable: Cancellable,
): Promise<Pick<SweepObjectsResult, 'condemnedObjects' | 'condemnedBytes'>> {
  const before = Date.now() - options.graceMs;
  const condemned = new Set<string>();
  for (const { objects, verdict } of await readCondemnations(store, cancellable)) {
    if (verdict !== 'spared') for (const key of objects) condemned.add(key);
  }
  // The objects are listed before the references are read. So an object that a backup stores and names in between doesn't count as
  // unneeded.
  const candidates = new Map<string, number>();
  for await (const { key, sizeBytes, modifiedAt } of store.list(OBJECTS_FOLDER, cancellable)) {
    options.heartbeat?.();
    if (modifiedAt.getTime() <= before && !condemned.has(key)) candidates.set(key, sizeBytes);
  }
  if (candidates.size > 0) {
    for (const key of await referencedObjects(store, { ...options, ...cancellable })) candidates.delete(key);
  }
  const keys = [...candidates.keys()];
  for (let start = 0; start < keys.length && options.dryRun !== true; start += OBJECTS_PER_CONDEMNATION) {
    const id = `${new Date().toISOString().replaceAll(/[-:.]/g, '')}-${randomBytes(4).toString('hex')}`;
    await condemn(store, id, keys.slice(start, start + OBJECTS_PER_CONDEMNATION), cancellable);
  }
  let condemnedBytes = 0;
  for (const sizeBytes of candidates.values()) condemnedBytes += sizeBytes;
  return { condemnedObjects: keys.length, condemnedBytes };
}

async function onlyPresent(
  store: Store,
  doomed: ReadonlySet<string>,
  options: SweepObjectsOptions,
  cancellable: Cancellable,
): Promise<readonly string[]> {
  const present: string[] = [];
  for await (const { key } of store.list(OBJECTS_FOLDER, cancellable)) {
    options.heartbeat?.();
    if (doomed.has(key)) present.push(key);
  }
  return present;
}

/** Deletes the condemnation before its verdict: once the condemnation is gone, nobody looks for a verdict. */
async function forget(store: Store, { id }: Condemnation, cancellable: Cancellable): Promise<void> {
  await store.delete([condemnationKey(id)], cancellable);
  await store.delete([verdictKey(id)], cancellable);
}

function isBefore(time: Date | undefined, before: number): boolean {
  return time !== undefined && time.getTime() <= before;
}
