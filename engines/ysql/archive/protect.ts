import { formatBytes } from '../../../model/amounts.ts';
import type { ArchiveRequest } from '../../../model/archive.ts';
import type { VerbContext } from '../../engine.ts';
import { archiveName } from '../server/archive-names.ts';
import { resolveTarget, withSession } from '../server/session.ts';
import { readSlot } from './server-state.ts';
import { dropSlot } from './slot.ts';

/**
 * Drops a slot that keeps more WAL than `maxSourceLag` and that nobody reads. Needs no repository: where the repository can't be reached
 * for long, the source's disk must not fill up. The timeline then ends as soon as the repository can be written again.
 * Returns whether the slot was dropped.
 */
export async function protectSource(verb: VerbContext, request: ArchiveRequest): Promise<boolean> {
  const { plan, database, policy, source } = request;
  const target = await resolveTarget(verb, source.connection);
  const name = archiveName(plan, database);
  return await withSession(target, database, verb.signal, async (session) => {
    const slot = await readSlot(session, name);
    if (slot === undefined || slot.activePid !== null) return false;
    if (slot.keptBytes <= policy.maxSourceLagBytes) return false;
    verb.log('the replication slot keeps more WAL than maxSourceLag, and is given up', {
      database,
      slot: name,
      kept: formatBytes(slot.keptBytes),
    });
    await dropSlot(session, name);
    return true;
  });
}
