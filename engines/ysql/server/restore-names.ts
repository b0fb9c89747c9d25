import type { RestoreRequest } from '../../../model/backup.ts';

/** PostgreSQL truncates longer names (NAMEDATALEN - 1). */
const LONGEST_NAME_BYTES = 63;

/** Matches an id of `newRestoreId`, or the id of a scratch restore: its purpose, and milliseconds in base 36. */
const RESTORE_NAME = /_(?:(?:restoring|before)_\d{8}t\d{6}z_[0-9a-f]{4}|restoring_[a-z]+_[0-9a-z]{8})$/;

/** Matches the default name of a database that was restored beside its original. */
const BESIDE = /_restored_\d{8}t\d{6}z_[0-9a-f]{4}$/;

/** The names of one database during its restore. */
export interface RestoreNames {
  /** At the source. */
  readonly from: string;
  /** Its name when the restore is complete. */
  readonly to: string;
  /** Its name until then: an incomplete database never has the final name. */
  readonly working: string;
  /** The name of the replaced database afterwards. */
  readonly kept: string;
}

/**
 * Names for restoring these databases, in their order. A scratch restore keeps its working names, since it is dropped anyway. Where long names would be
 * cut to the same one, the later one gets its number in it. Pure.
 */
export function restoreNames(databases: readonly string[], request: RestoreRequest): readonly RestoreNames[] {
  const taken = new Set<string>();
  return databases.map((from, place) => {
    const usual = namesOf(from, request, '');
    const isApart = [usual.working, usual.to, usual.kept].every((name) => !taken.has(name));
    const names = isApart ? usual : namesOf(from, request, `_${place + 1}`);
    for (const name of [names.working, names.to, names.kept]) taken.add(name);
    return names;
  });
}

function namesOf(from: string, request: RestoreRequest, number: string): RestoreNames {
  const { restore, into, replace, scratch } = request;
  const to =
    into[from] ??
    (replace || request.contents === 'data' ? from : fitted(from, `${number}_restored_${restore}`));
  const working = fitted(to, `${number}_restoring_${restore}`);
  return { from, to: scratch ? working : to, working, kept: fitted(to, `${number}_before_${restore}`) };
}

/**
 * True for the name of a database that a restore created under its working name, or kept after replacing it: `<name>_restoring_<id>`,
 * `<name>_before_<id>`. Ids are those of `newRestoreId` and of scratch restores. Pure.
 */
export function isRestoreName(name: string): boolean {
  return RESTORE_NAME.test(name);
}

/**
 * True for `<name>_restored_<id>`, the name that a restore beside the original gives where it is told no other. A plan's patterns match such a database, since
 * people may work in it; but it is no plan of its own by itself. Pure.
 */
export function isRestoredBeside(name: string): boolean {
  return BESIDE.test(name);
}

/** Joins `name` and `suffix`, shortening the name at a character boundary so that both fit. */
function fitted(name: string, suffix: string): string {
  const room = LONGEST_NAME_BYTES - Buffer.byteLength(suffix);
  let kept = '';
  for (const character of name) {
    if (Buffer.byteLength(kept + character) > room) break;
    kept += character;
  }
  return kept + suffix;
}
