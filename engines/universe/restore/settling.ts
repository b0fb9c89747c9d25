import { setTimeout as sleep } from 'node:timers/promises';
import { transient } from '../../../model/errors.ts';
import { dumpEntitiesIfAnswered } from '../entities.ts';
import type { Universe } from '../universe.ts';
import type { RestoredDatabase, UniverseRestore } from './context.ts';

const LOOK_EVERY_MS = 1_000;
/** An import that nobody waits for counts as over if nothing has changed for so long. */
const SETTLED_MS = 5_000;

/**
 * Waits until a database's tablets stop changing. If an import's caller was killed, or its RPC timed out, the import goes on in the master, table
 * by table, and yields no snapshot (issue 28965). A second import beside it would be given tablets that the first then replaces. Afterwards the
 * tablets fit, so the next import has nothing to re-partition and is quick.
 *
 * @throws HoldfastError `RESTORE_IMPORT_GOES_ON` (transient) if they still change after the plan's patience
 */
export async function whenSettled(
  restore: UniverseRestore,
  universe: Universe,
  { api, to }: Pick<RestoredDatabase, 'api' | 'to'>,
): Promise<void> {
  const { patience } = restore.request.source;
  const deadline = Date.now() + Math.max(patience.restorationMs, 2 * SETTLED_MS);
  let before = await tabletsNow(restore, universe, api, to);
  let since = Date.now();
  while (Date.now() - since < SETTLED_MS) {
    if (Date.now() > deadline) {
      throw transient(
        'RESTORE_IMPORT_GOES_ON',
        `An earlier import into ${to} still goes on: the universe changed its tablets within the last ${SETTLED_MS / 1_000} s`,
        'It is looked at again.',
      );
    }
    restore.heartbeat({ importGoesOn: to });
    await sleep(LOOK_EVERY_MS, undefined, { signal: restore.signal });
    const now = await tabletsNow(restore, universe, api, to);
    if (now === before) continue;
    before = now;
    since = Date.now();
  }
}

/** The ids of a database's tablets in one text. Empty if no master lists them all at once; then the caller only waits. */
async function tabletsNow(
  { signal }: UniverseRestore,
  { masterWebAddresses }: Universe,
  api: string,
  name: string,
): Promise<string> {
  const entities = await dumpEntitiesIfAnswered(masterWebAddresses, signal);
  if (entities === undefined) return '';
  const { namespaces, tables, tablets } = entities;
  const ids = new Set(namespaces.filter((one) => one.kind === api && one.name === name).map(({ id }) => id));
  const own = new Set(tables.filter(({ namespaceId }) => ids.has(namespaceId)).map(({ id }) => id));
  return tablets
    .flatMap(({ id, tableId }) => (own.has(tableId) ? [id] : []))
    .sort()
    .join(' ');
}
