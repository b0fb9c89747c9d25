import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, permanent, transient } from '../../../model/errors.ts';
import { bytesOf, fieldsOf, messagesIn } from '../protobuf.ts';
import type { Roots } from './folders.ts';

/** The file in each data directory that says which tablet server it belongs to (`FsManager`, src/yb/fs/fs_manager.cc). */
const INSTANCE = 'yb-data/tserver/instance';

/** `InstanceMetadataPB.uuid` (src/yb/fs/fs.proto). */
const UUID_FIELD = 1;

/**
 * The UUID of the tablet server that the data directories belong to, as `yb-admin list_all_tablet_servers` prints it. A tablet server writes it
 * into each of its directories when it formats them, and refuses to start if they differ.
 *
 * @throws HoldfastError `AGENT_NO_IDENTITY` (transient: a disk may come back) if no directory says, or a directory's file can't be read;
 * `AGENT_MIXED_DIRECTORIES` (permanent) if they differ
 */
export async function ownerOf({ roots, problems }: Roots): Promise<string> {
  const owners = new Map<string, string>();
  const unknown: string[] = [...problems];
  for (const root of roots) {
    try {
      owners.set(root, await readInstance(join(root, INSTANCE)));
    } catch (error) {
      unknown.push(`${join(root, INSTANCE)}: ${messageOf(error)}`);
    }
  }
  const [owner, other] = new Set(owners.values());
  if (owner === undefined || unknown.length > problems.length) {
    throw transient(
      'AGENT_NO_IDENTITY',
      `Whose data directories these are is not known: ${unknown.join('; ') || 'none is named'}`,
      'Name the fs_data_dirs of the tablet server with --data-dirs, mount them, and let the agent’s user read the file `instance` in them.',
    );
  }
  if (other === undefined) return owner;
  throw permanent(
    'AGENT_MIXED_DIRECTORIES',
    `The data directories belong to different tablet servers: ${[...owners].map(([root, uuid]) => `${root} to ${uuid}`).join(', ')}`,
    'Name the fs_data_dirs of one tablet server with --data-dirs, or leave it out.',
  );
}

async function readInstance(path: string): Promise<string> {
  const [metadata] = messagesIn(await readFile(path));
  const [uuid] = metadata === undefined ? [] : bytesOf(fieldsOf(metadata), UUID_FIELD);
  if (uuid === undefined) throw new RangeError('it holds no UUID');
  return uuid.toString('latin1');
}

/**
 * Makes sure that the data directories are those of the tablet server `expected`. Throws `AGENT_WRONG_NODE` (permanent) naming both.
 *
 * @param where the directories, for the message
 */
export function requireOwner(
  address: string,
  owner: string,
  expected: string,
  where: readonly string[],
): void {
  if (owner === expected) return;
  throw permanent(
    'AGENT_WRONG_NODE',
    `The agent of ${address} has data directories (${where.join(', ')}) of the tablet server ${owner}; the tablet server at ${address} is ${expected}`,
    'Run the agent on the machine of its tablet server, with that tablet server’s --tserver and --data-dirs (a unit file that was copied names another’s).',
  );
}
