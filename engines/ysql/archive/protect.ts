import { formatBytes } from '../../../model/amounts.ts';
import type { ArchiveRequest } from '../../../model/archive.ts';
import type { VerbContext } from '../../engine.ts';
import { archiveName } from '../server/archive-names.ts';
import { readServer } from '../server/server.ts';
import { resolveTarget, withServerSession } from '../server/session.ts';
import { archiveSource } from './archive-source.ts';
import { dropSlot } from './slot.ts';

/**
 * Drops a slot that keeps more WAL than `maxSourceLag` and that nobody reads. Needs no repository: where the repository can't be reached
 * for long, the source's disk must not fill up. YugabyteDB keeps changes for some hours and no longer, whoever reads them, and tells no bytes. The timeline then ends as soon as the repository can be written again.
 * Returns whether the slot was dropped.
 */
export async function protectSource(verb: VerbContext, request: ArchiveRequest): Promise<boolean> {
  const { plan, database, policy, source } = request;
  const target = await resolveTarget(verb, source.connection);
  const name = archiveName(plan, database);
  // Any database drops a slot, and the one that is archived may have been dropped or renamed.
  return await withServerSession(target, verb.signal, async (session) => {
    const kind = archiveSource(await readServer(session));
    const slot = await kind.readSlot(session, name);
    if (slot === undefined || slot.reader !== null) return false;
    if (slot.keptBytes <= policy.maxSourceLagBytes) return false;
    verb.log('the replication slot keeps more WAL than maxSourceLag, and is given up', {
      database,
      slot: name,
      kept: formatBytes(slot.keptBytes),
    });
    await dropSlot(kind, session, name, { signal: verb.signal, forMs: 0 });
    return true;
  });
}
