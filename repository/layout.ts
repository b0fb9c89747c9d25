/** The place of every object in a repository; see docs/repository-format.md. Keys in a manifest or a work list are relative to the backup's folder. */
import { checkedPart } from './key.ts';
import { sha256Hex } from './sha256.ts';

/** Identifies one backup of a plan. A `BackupRef` also has these members. */
export interface BackupId {
  readonly plan: string;
  readonly backup: string;
}

export const REPOSITORY_KEY = 'repository.json';
export const BACKUPS_FOLDER = 'backups/';
/** Archives of changes: see `archive/names.ts`. */
export const ARCHIVE_FOLDER = 'archive/';
/** Beside the timelines of a database's archive: who archives it at present. */
export const LEASE_PART = 'lease';

/** `backups/<plan>/` */
export function planFolder(plan: string): string {
  return `${BACKUPS_FOLDER}${checkedPart(plan)}/`;
}

/** `backups/<plan>/<backup>/` */
export function backupFolder({ plan, backup }: BackupId): string {
  return `${planFolder(plan)}${checkedPart(backup)}/`;
}

export const MANIFEST_NAME = 'manifest.json';

export function manifestKey(ref: BackupId): string {
  return `${backupFolder(ref)}${MANIFEST_NAME}`;
}

/**
 * Relative. M4: no object that a manifest names is ever replaced. The name contains a part of the hash, so a writer that lost its race (a worker that
 * was presumed dead, say) can't overwrite a list that a manifest names.
 */
export function objectListName(index: number, sha256: string): string {
  return `lists/objects-${padded(index, 5)}-${sha256.slice(0, 16)}.json.zst`;
}

const WORK_FOLDER = 'work';

/** Relative: `work/e<epoch>/` */
export function workFolder(epoch: number): string {
  return `${WORK_FOLDER}/e${epoch}/`;
}

/** Relative. */
export function workListName(epoch: number): string {
  return `${workFolder(epoch)}work-list.json`;
}

/** Relative. The name contains a hash for the same reason as in `objectListName`. */
export function batchName(epoch: number, batch: number, sha256: string): string {
  return `${workFolder(epoch)}shard-${padded(batch, 5)}-${sha256.slice(0, 16)}.json`;
}

/** Relative. */
export function taskResultName(epoch: number, task: number): string {
  return `${workFolder(epoch)}results/${padded(task, 7)}.json`;
}

/** `verified/<plan>/<backup>/` */
export function ledgerFolder({ plan, backup }: BackupId): string {
  return `${planLedgerFolder(plan)}${checkedPart(backup)}/`;
}

/** @param time ISO 8601 in UTC with milliseconds. Its width is fixed, so names sort by time */
export function ledgerKey(ref: BackupId, time: string): string {
  return `${ledgerFolder(ref)}${time.replaceAll(/[-:.]/g, '')}.json`;
}

const SIGNATURES_FOLDER = 'signatures/';

/** Whether a key is that of a signature which lies beside its object. */
export function isSignature(key: string): boolean {
  return key.startsWith(SIGNATURES_FOLDER);
}

/** `signatures/<key>/`: signatures that were made after their object. */
export function signatureFolder(key: string): string {
  return `${SIGNATURES_FOLDER}${key}/`;
}

/** @param fingerprint of the signer's key, as `ssh-keygen -l` prints it */
export function signatureKey(key: string, sha256: string, fingerprint: string): string {
  const signer = sha256Hex(Buffer.from(fingerprint)).slice(0, 16);
  return `${signatureFolder(key)}${sha256.slice(0, 16)}-${signer}.sig`;
}

const REGISTERS_FOLDER = 'register/';

/** `register/<plan>/`: which backups there should be; see `signing/register.ts`. */
export function registerFolder(plan: string): string {
  return `${REGISTERS_FOLDER}${checkedPart(plan)}/`;
}

/** `register/<plan>/<number>.json` */
export function registerKey(plan: string, number: number): string {
  return `${registerFolder(plan)}${padded(number, 9)}.json`;
}

/**
 * Whether a key contains the beginning of its object's hash, so that every writer of this key writes the same contents (M4).
 *
 * @param sha256 of the contents
 */
export function namesItsContents(key: string, sha256: string): boolean {
  const name = key.slice(key.lastIndexOf('/') + 1);
  const runs = name.match(/(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{12})(?![0-9A-Za-z])/g);
  return runs?.some((run) => sha256.startsWith(run)) ?? false;
}

/** Key files of an encrypted repository: see `encryption/key-files.ts`. */
export const KEYS_FOLDER = 'keys/';
/** Content-addressed objects, shared by all backups of the repository. */
export const OBJECTS_FOLDER = 'objects/';
/** The contents of shared objects: see `objects/object-index.ts`. */
export const INDEX_FOLDER = 'index/';
/** Shared objects about to be deleted: see `objects/condemned.ts`. */
export const CONDEMNED_FOLDER = 'condemned/';

/**
 * `objects/<2 hex>/<sha256>`. A suffix makes a second name for the same bytes, in case the first name is being deleted.
 *
 * @param sha256 of the stored bytes.
 */
export function sharedObjectKey(sha256: string, suffix?: string): string {
  return `${OBJECTS_FOLDER}${sha256.slice(0, 2)}/${sha256}${suffix === undefined ? '' : `-${suffix}`}`;
}

/** Whether a key of a manifest, list or result is that of a shared object. It is then relative to the repository, not to the backup's folder. */
export function isShared(key: string): boolean {
  return key.startsWith(OBJECTS_FOLDER);
}

/** The key within the repository of an object that a manifest, list or result names. @param folder of the backup */
export function storedKey(folder: string, key: string): string {
  return isShared(key) ? key : folder + key;
}

/** @param sha256 of the index object's own bytes, so that a reader can check it by its name. */
export function indexKey(sha256: string): string {
  return `${INDEX_FOLDER}${sha256}.json.zst`;
}

/** @param id sorts by time. */
export function condemnationKey(id: string): string {
  return `${CONDEMNED_FOLDER}${checkedPart(id)}.json`;
}

export function verdictKey(id: string): string {
  return `${CONDEMNED_FOLDER}${checkedPart(id)}.verdict`;
}

/** Relative: `work/e<epoch>/tablets/`, results of tasks that save tablets. */
export function tabletResultsFolder(epoch: number): string {
  return `${workFolder(epoch)}tablets/`;
}

/** Relative. @param piece number of a part of the task's tablets; a task is split where replicas are missing */
export function tabletResultName(epoch: number, task: number, piece: number): string {
  return `${tabletResultsFolder(epoch)}${padded(task, 7)}-${padded(piece, 3)}.json.zst`;
}

/** Relative. */
export function tabletListName(index: number, sha256: string): string {
  return `lists/tablets-${padded(index, 5)}-${sha256.slice(0, 16)}.json.zst`;
}

/** `retention/<plan>/`: marks, pins and the lease; nothing in it is part of a backup. */
export function retentionFolder(plan: string): string {
  return `retention/${checkedPart(plan)}/`;
}

/** `retention/<plan>/marks/` */
export function marksFolder(plan: string): string {
  return `${retentionFolder(plan)}marks/`;
}

export function markKey({ plan, backup }: BackupId): string {
  return `${marksFolder(plan)}${checkedPart(backup)}.json`;
}

/** `retention/<plan>/pins/` */
export function pinsFolder(plan: string): string {
  return `${retentionFolder(plan)}pins/`;
}

/** @param reader hash of the reader's name, which may contain any character */
export function pinKey({ plan, backup }: BackupId, reader: string): string {
  return `${pinsFolder(plan)}${checkedPart(backup)}/${reader.slice(0, 16)}.json`;
}

const HOLDS_FOLDER = 'holds/';

/** `holds/<plan>/`: who holds which backup, and why. */
export function holdsFolder(plan: string): string {
  return `${HOLDS_FOLDER}${checkedPart(plan)}/`;
}

export function holdKey({ plan, backup }: BackupId, id: string): string {
  return `${holdsFolder(plan)}${checkedPart(backup)}/${checkedPart(id)}.json`;
}

const AUDIT_FOLDER = 'audit/';

/** `audit/<plan>/`: who did what; see `audit.ts`. */
export function auditFolder(plan: string): string {
  return `${AUDIT_FOLDER}${checkedPart(plan)}/`;
}

/** `audit/<plan>/<number>.json` */
export function auditKey(plan: string, number: number): string {
  return `${auditFolder(plan)}${padded(number, 9)}.json`;
}

const DELETIONS_FOLDER = 'deletions/';

/** `deletions/<plan>/`: who asked for deletions of backups, and who approved. */
export function deletionsFolder(plan: string): string {
  return `${DELETIONS_FOLDER}${checkedPart(plan)}/`;
}

export function deletionFolder({ plan, backup }: BackupId): string {
  return `${deletionsFolder(plan)}${checkedPart(backup)}/`;
}

export function deletionRequestKey(ref: BackupId): string {
  return `${deletionFolder(ref)}request.json`;
}

/** @param fingerprint of the approver's key */
export function approvalKey(ref: BackupId, fingerprint: string): string {
  return `${deletionFolder(ref)}approval-${sha256Hex(Buffer.from(fingerprint)).slice(0, 16)}.json`;
}

/** `retention/<plan>/lease/` */
export function leaseFolder(plan: string): string {
  return `${retentionFolder(plan)}lease/`;
}

export function leaseKey(plan: string, number: number): string {
  return `${leaseFolder(plan)}${padded(number, 9)}.json`;
}

/** `in-cluster/<plan>/<namespace>.json`: which snapshot schedules of the universe are the plan's own. @param namespace hash of its name. */
export function inClusterKey(plan: string, namespace: string): string {
  return `${inClusterFolder(plan)}${checkedPart(namespace)}.json`;
}

/** `in-cluster/<plan>/` */
export function inClusterFolder(plan: string): string {
  return `in-cluster/${checkedPart(plan)}/`;
}

/** `off-cluster/<plan>/<namespace>.json`: since when a database, whose history is exported, has the schema it has. @param namespace hash of its name. */
export function offClusterKey(plan: string, namespace: string): string {
  return `off-cluster/${checkedPart(plan)}/${checkedPart(namespace)}.json`;
}

/** `verified/<plan>/` */
function planLedgerFolder(plan: string): string {
  return `${LEDGERS_FOLDER}${checkedPart(plan)}/`;
}

const LEDGERS_FOLDER = 'verified/';
/** What lies at the top of a repository. The last two exist only in an encrypted one. */
const AT_THE_TOP: ReadonlySet<string> = new Set([REPOSITORY_KEY, 'RESTORE.md', 'decrypt.mjs']);

/** Whether a put locks an object, where the plan has a lock: all that a finished backup needs or is judged by, but no work lists and pins. */
export function isLocked(key: string): boolean {
  return (
    AT_THE_TOP.has(key) ||
    key.startsWith(OBJECTS_FOLDER) ||
    key.startsWith(INDEX_FOLDER) ||
    key.startsWith(LEDGERS_FOLDER) ||
    key.startsWith(KEYS_FOLDER) ||
    key.startsWith(SIGNATURES_FOLDER) ||
    key.startsWith(REGISTERS_FOLDER) ||
    key.startsWith(HOLDS_FOLDER) ||
    key.startsWith(AUDIT_FOLDER) ||
    (key.startsWith(BACKUPS_FOLDER) && !isWork(key))
  );
}

/**
 * Whether an object is written once and kept: what backups and archives consist of, and what they are judged by. Leases, pins, marks, notes and work lists come and go
 * every day.
 */
export function isKept(key: string): boolean {
  if (key.startsWith(ARCHIVE_FOLDER)) return key.split('/')[3] !== LEASE_PART;
  return isLocked(key) || key.startsWith(DELETIONS_FOLDER);
}

/** Whether an object is needed only while its backup is being made. */
export function isWork(key: string): boolean {
  const [, , , folder] = key.split('/');
  return folder === WORK_FOLDER;
}

function padded(number: number, digits: number): string {
  return number.toString().padStart(digits, '0');
}

/** `snapshots/<plan>/` */
export function snapshotLedgersFolder(plan: string): string {
  return `snapshots/${checkedPart(plan)}/`;
}

/** `snapshots/<plan>/<backup>/`: snapshots that were begun in a universe for a backup, to be deleted when the backup has ended. */
export function snapshotLedgerFolder({ plan, backup }: BackupId): string {
  return `${snapshotLedgersFolder(plan)}${checkedPart(backup)}/`;
}

/** `restores/<plan>/` */
export function restoresFolder(plan: string): string {
  return `restores/${checkedPart(plan)}/`;
}

/** `restores/<plan>/<restore>/`: what a restore of a universe must remember while it runs. Removed when it has ended. */
export function restoreFolder(plan: string, restore: string): string {
  return `${restoresFolder(plan)}${checkedPart(restore)}/`;
}

/** `restores/<plan>/<restore>.json`: says that a restore is complete; see `restore-records.ts`. */
export function restoreRecordKey({
  plan,
  restore,
}: {
  readonly plan: string;
  readonly restore: string;
}): string {
  return `${restoresFolder(plan)}${checkedPart(restore)}.json`;
}

/** `restores/<plan>/<restore>.<step>-<n>.json`: how far the rewind of the restore's nth database has come; see `rewind-records.ts`. */
export function rewindNoteKey(
  { plan, restore }: { readonly plan: string; readonly restore: string },
  database: number,
  step: string,
): string {
  return `${restoresFolder(plan)}${checkedPart(restore)}.${checkedPart(step)}-${database}.json`;
}
