import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, permanent } from '../../../model/errors.ts';
import { openUniverse, type Universe } from '../universe.ts';
import {
  abortRestoration,
  listRestorations,
  type Restoration,
  restoreSnapshot,
} from '../yb-admin/restorations.ts';
import { listTabletServers } from '../yb-admin/topology.ts';
import { type RestoredDatabase, restoredDatabases, type UniverseRestore } from './context.ts';
import { instantMicros, refuseOutsideHistory } from './instant.ts';
import { requireImported } from './prepare.ts';

const POLL_MS = 1_000;

/**
 * Restores every imported snapshot, to the instant that the request names, and waits until each is RESTORED. A retry waits for what an earlier
 * attempt began. Throws, permanent: `RESTORE_FAILED`; `RESTORE_STUCK` if one has not ended within the plan's patience, after giving it up in the
 * universe.
 */
export async function restoreAll(restore: UniverseRestore): Promise<void> {
  const universe = await openUniverse(restore, restore.request.source);
  // Checked once more, right before the step that can't be undone.
  refuseOutsideHistory(restore);
  const atMicros = instantMicros(restore);
  for (const database of restoredDatabases(restore)) {
    if (database.snapshot.metadata === undefined) continue;
    const { snapshot } = await requireImported(restore, universe, database);
    const begun = (await findOf(universe, snapshot)) ?? (await begin(universe, snapshot, atMicros));
    await whenRestored(restore, universe, database, begun);
  }
}

/** The restoration of this snapshot that an earlier attempt began. Nobody else knows the snapshot. */
async function findOf({ admin }: Universe, snapshot: string): Promise<Restoration | undefined> {
  const all = await listRestorations(admin);
  return all.findLast((restoration) => restoration.snapshot === snapshot);
}

async function begin(
  { admin }: Universe,
  snapshot: string,
  atMicros: string | undefined,
): Promise<Restoration> {
  const at = atMicros === undefined ? {} : { atMicros };
  return { id: await restoreSnapshot(admin, snapshot, at), snapshot, state: 'RESTORING' };
}

async function whenRestored(
  restore: UniverseRestore,
  universe: Universe,
  { to }: RestoredDatabase,
  { id }: Restoration,
): Promise<void> {
  const patienceMs = restore.request.source.patience.restorationMs;
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const state = (await listRestorations(universe.admin)).find((each) => each.id === id)?.state;
    // The universe forgets a restoration some time after its end. One that is forgotten before it was seen RESTORED counts as failed.
    if (state === 'RESTORED') return;
    if (state !== 'RESTORING' && state !== 'UNKNOWN') {
      throw permanent(
        'RESTORE_FAILED',
        `The restoration ${id} of ${to} became ${state ?? 'unknown to the universe'}${await deadServers(universe)}`,
        'See the logs of the masters and tablet servers, then start the restore again.',
      );
    }
    if (Date.now() > deadline) {
      const dead = await deadServers(universe);
      await giveUp(restore, universe, id);
      throw permanent(
        'RESTORE_STUCK',
        `The restoration ${id} of ${to} was still ${state} after ${Math.round(patienceMs / 1_000)} s, and was given up${dead}`,
        'See that all tablet servers are alive and start the restore again; give it longer with source.universe.patience.restoration.',
      );
    }
    restore.heartbeat({ restoration: id, state });
    await sleep(POLL_MS, undefined, { signal: restore.signal });
  }
}

async function giveUp(restore: UniverseRestore, { admin }: Universe, id: string): Promise<void> {
  try {
    await abortRestoration(admin, id);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    // It may have ended just now, or the universe may be too old to abort one. The caller reports that it was stuck either way.
    restore.log('the stuck restoration could not be given up', { restoration: id, reason: error.message });
  }
}

async function deadServers({ admin }: Universe): Promise<string> {
  const dead = (await listTabletServers(admin)).filter(({ status }) => status !== 'ALIVE');
  return dead.length === 0 ? '' : `; not alive: ${dead.map(({ address }) => address).join(', ')}`;
}
