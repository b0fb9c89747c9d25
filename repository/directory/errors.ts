import { HoldfastError, messageOf, permanent, transient } from '../../model/errors.ts';

/** The error of a store for an error of the file system. `what` says what was tried, e.g. `write data/x`. */
export function directoryError(error: unknown, what: string, root: string): unknown {
  if (error instanceof HoldfastError) return error;
  const code = errnoOf(error);
  if (code === undefined) return error;
  const tried = `Can't ${what} in the directory ${root} (${code})`;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return permanent(
        'STORE_FULL',
        `${tried}: the disk or the quota is full.`,
        'Free space or raise the quota, then run it again.',
        error,
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return permanent(
        'STORE_DENIED',
        `${tried}: ${code === 'EROFS' ? 'the file system is read-only' : 'the permission is missing'}.`,
        'Give the user that runs the worker read and write permission to the directory. Where workers run as several users, put them into one group and write `groupAccess: write` beside `directory`.',
        error,
      );
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ENAMETOOLONG':
      return permanent(
        'STORE_BAD_KEY',
        `${tried}: a file stands where a folder is needed, or the name is too long for this file system.`,
        'Remove the file that is in the way, or use another directory for the repository.',
        error,
      );
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
    case 'ENOSYS':
    case 'EMLINK':
    case 'EXDEV':
      return permanent(
        'STORE_UNSUPPORTED',
        `${tried}: the file system has no hard links here, without which two writers could overwrite each other.`,
        'Use a local or NFS file system, or an S3 bucket.',
        error,
      );
    case 'ENOENT':
      return permanent(
        'STORE_NO_DIRECTORY',
        `${tried}: the directory does not exist.`,
        'Mount or create it, or correct the path in the plan file.',
        error,
      );
    case 'EIO':
    case 'ESTALE':
    case 'EBUSY':
    case 'EAGAIN':
    case 'EINTR':
    case 'ETIMEDOUT':
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
    case 'EHOSTDOWN':
    case 'ENOTCONN':
      return transient(
        'STORE_UNREACHABLE',
        `${tried}: ${messageOf(error)}.`,
        'Check the disk or the NFS server; it is tried again.',
        error,
      );
    default:
      return permanent(
        'STORE_FAILED',
        `${tried}: ${messageOf(error)}.`,
        'Check the directory and the file system it is on.',
        error,
      );
  }
}

/** The errno name of a file system error, undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && 'syscall' in error) {
    return error.code;
  }
  return undefined;
}

/** True where nothing has this name. That is also so if a file is in the place of one of its folders. */
export function isAbsent(error: unknown): boolean {
  const code = errnoOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}
