import { HoldfastError, messageOf, transient } from '../../../model/errors.ts';
import { errnoOf } from '../../../repository/directory-errors.ts';

/**
 * Does `work`, and has what goes wrong name the node: whoever reads it in the report of a whole universe must know where to look.
 * What the node's own disks refuse is typed here. Nobody but a person can mend it, and nothing is lost meanwhile, so it is waited
 * for: `AGENT_DISK_FULL`, `AGENT_DENIED`, `AGENT_DISK` (transient).
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
