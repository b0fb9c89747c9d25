import { HoldfastError, messageOf, transient } from '../../../model/errors.ts';
import { errnoOf } from '../../../repository/directory/errors.ts';

/**
 * Does `work`, and names the node in every error: the report of a whole universe must say where to look.
 * Errors of the node's own disks get their type here: `AGENT_DISK_FULL`, `AGENT_DENIED`, `AGENT_DISK`. They are transient: a person must
 * mend the disk, nothing is lost meanwhile, and so the run waits.
 */
export async function onNode<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw namingNode(error, address);
  }
}

function namingNode(error: unknown, address: string): unknown {
  const message = `On the node of ${address}: ${messageOf(error)}`;
  if (error instanceof HoldfastError) {
    const { code, remedy, transient: passes } = error;
    return new HoldfastError(code, message, { remedy, transient: passes, cause: error });
  }
  switch (errnoOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return transient(
        'AGENT_DISK_FULL',
        message,
        'Free space there, or raise the quota; then it goes on.',
        error,
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return transient(
        'AGENT_DENIED',
        message,
        'Let the user that the agent runs as write the data directories, and mount them for writing; then it goes on.',
        error,
      );
    case 'EIO':
    case 'ENODEV':
    case 'ENOENT':
    case 'ESTALE':
      return transient(
        'AGENT_DISK',
        message,
        'Check that disk, and that it is mounted; then it goes on.',
        error,
      );
    default:
      return error;
  }
}
