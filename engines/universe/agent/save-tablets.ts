import { HoldfastError, messageOf } from '../../../model/errors.ts';
import type { SaveSummary, TabletName } from '../../../model/tablets.ts';
import { SharedObjectWriter } from '../../../repository/objects/object-writer.ts';
import type { BackupContext } from '../../engine.ts';
import { findFolder, type Roots, snapshotFolderParts } from './folders.ts';
import type { NodeAgent } from './node-agent.ts';
import { type SaveRequest, Saving } from './saving.ts';

/** How long consecutive tasks share what one of them read of the index. */
const INDEX_MAX_AGE_MS = 30_000;

/**
 * Saves tablets of a snapshot from this node: stores every file of their snapshot folders as shared objects, then the task's result. Sends nothing
 * that the repository has already, and doesn't read what its memory knows to be there. A retry after a crash sends at most the objects that were
 * under way.
 *
 * A tablet that this node doesn't have (any more), or can't read, is left for another replica; that is no error.
 */
export async function saveTablets(
  agent: NodeAgent,
  context: BackupContext,
  request: SaveRequest,
): Promise<SaveSummary> {
  return agent.runTask(request, async () => {
    const { store, signal, ref } = context;
    signal.throwIfAborted();
    const roots = await rootsOrReason(agent, request.server, signal);
    if (typeof roots === 'string') return allLeft(request.tablets, roots);
    const [memory, writer] = await Promise.all([
      agent.memory(ref.repository),
      // A retry may be due to a sweep that deleted an object meanwhile, so it reads the index anew.
      SharedObjectWriter.open(store, agent.index(store), {
        signal,
        indexMaxAgeMs: context.attempt > 1 ? 0 : INDEX_MAX_AGE_MS,
      }),
    ]);
    const saving = new Saving(agent, context, request, memory, writer);
    const left: SaveSummary['left'][number][] = [];
    for (const name of request.tablets) {
      try {
        const folder = findFolder(roots, snapshotFolderParts(name));
        if (folder === undefined) {
          const reason = ['its snapshot folder is not here', ...roots.problems].join('; ');
          left.push({ tablet: name.tablet, reason });
        } else await saving.add(name, folder);
      } catch (error) {
        left.push({ tablet: name.tablet, reason: reasonToLeave(error) });
      }
    }
    return { ...(await saving.finish()), left };
  });
}

/**
 * The proven data directories, or why there are none: the tablet server can't be asked for them, or they are another's. Asking another replica is
 * quicker than waiting.
 */
async function rootsOrReason(
  agent: NodeAgent,
  server: string | undefined,
  signal: AbortSignal,
): Promise<Roots | string> {
  try {
    return await agent.provenRoots(signal, server);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HoldfastError) return error.message;
    throw error;
  }
}

function allLeft(tablets: readonly TabletName[], reason: string): SaveSummary {
  const left = tablets.map(({ tablet }) => ({ tablet, reason }));
  return { saved: 0, files: 0, bytes: 0, sentBytes: 0, sentObjects: 0, left };
}

const OF_THIS_REPLICA = ['AGENT_FILE_CHANGED', 'AGENT_SNAPSHOT_INCOMPLETE'];

/** Why a tablet is left to another replica: its files come and go, or the disk fails. Throws every other error, which fails the task. */
function reasonToLeave(error: unknown): string {
  const ofDisk = ['ENOENT', 'EIO', 'EACCES', 'EPERM', 'ENODEV', 'ESTALE'];
  if (error instanceof Error && 'code' in error && ofDisk.includes(String(error.code)))
    return messageOf(error);
  if (error instanceof HoldfastError && OF_THIS_REPLICA.includes(error.code)) return error.message;
  throw error;
}
