import type { RestoreRequest } from '../../../model/backup.ts';

/** PostgreSQL cuts longer names off (NAMEDATALEN - 1). */
const LONGEST_NAME_BYTES = 63;

/** An id of `newRestoreId`, or what a scratch restore of any kind is called: its purpose, and milliseconds to the base 36. */
const RESTORE_NAME = /_(?:(?:restoring|before)_\d{8}t\d{6}z_[0-9a-f]{4}|restoring_[a-z]+_[0-9a-z]{8})$/;

/** The names of one database in the course of its restore. */
export interface RestoreNames {
  /** At the source. */
  readonly from: string;
  /** What it is called when the restore is complete. */
  readonly to: string;
  /** What it is called until then: nothing incomplete ever stands under the final name. */
  readonly working: string;
  /** What the database that is replaced is called afterwards. */
  readonly kept: string;
}

/** Names for restoring database `from`. A scratch restore keeps its working name, since it is dropped anyway. Pure. */
export function restoreNames(from: string, request: RestoreRequest): RestoreNames {
  const { restore, into, replace, scratch } = request;
  const to =
    into[from] ?? (replace || request.contents === 'data' ? from : fitted(from, `_restored_${restore}`));
  const working = fitted(to, `_restoring_${restore}`);
  return { from, to: scratch ? working : to, working, kept: fitted(to, `_before_${restore}`) };
}

/**
 * True for the name of a database that a restore made beside its final name or kept: `<name>_restoring_<id>`, `<name>_before_<id>`. Ids are those
 * of `newRestoreId` and of scratch restores. Pure.
 */
export function isRestoreName(name: string): boolean {
  return RESTORE_NAME.test(name);
}

/** `name` and `suffix`, the name shortened at a character boundary so that both fit. */
function fitted(name: string, suffix: string): string {
  const room = LONGEST_NAME_BYTES - Buffer.byteLength(suffix);
  let kept = '';
  for (const character of name) {
    if (Buffer.byteLength(kept + character) > room) break;
    kept += character;
  }
  return kept + suffix;
}
