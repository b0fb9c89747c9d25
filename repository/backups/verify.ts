import {
  type DataObject,
  dataObjectName,
  type ObjectEntry,
  type Verdict,
  type VerifyReport,
} from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError, messageOf } from '../../model/errors.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { VerifyLevel } from '../../model/pipeline.ts';
import { mapBounded } from '../bounded.ts';
import { type BackupId, backupFolder, OBJECTS_FOLDER } from '../layout.ts';
import { Limiter } from '../limiter.ts';
import { type NamedSharedObject, readSharedObjects } from '../objects/tablet-lists.ts';
import { sha256Hex } from '../sha256.ts';
import { compareRegister } from '../signing/register.ts';
import type { Store } from '../store.ts';
import { differenceOf, isDamage, STORE_NOT_FOUND } from '../store-errors.ts';
import { differenceInContent } from './content.ts';
import { readData } from './data-pieces.ts';
import { listBackups } from './list-backups.ts';
import { distrustedManifest, readNamedObjects, readStoredManifest, type StoredManifest } from './manifest.ts';
import { manifestProblems } from './manifest-sums.ts';

/** Levels that need the store alone; `restore` also needs a database. */
type StoreLevel = Exclude<VerifyLevel, 'restore'>;

const PROBLEMS_REPORTED = 100;
const NOTES_REPORTED = 20;

const CHECKED_AT_ONCE: Readonly<Record<StoreLevel, number>> = { exists: 4, checksums: 16, content: 4 };
/** At level `checksums`, of objects that have to be downloaded after all, each of which is held in memory. */
const DOWNLOADED_AT_ONCE = 2;

/** How far a verification has come. If it found no problem, it can go on from here on another machine. */
export type VerifyProgress = {
  readonly startedAt: string;
  /** Objects checked without a gap, in the manifest's order. */
  readonly checkedObjects: number;
  readonly checkedBytes: number;
  readonly problems: number;
};

interface VerifyOptions {
  /** Objects checked at once, each held in memory at level `content`. Default 4, and 16 at level `checksums`, which asks and holds nothing. */
  readonly concurrency?: number;
  /** How far an interrupted verification had come. If it had found problems, they are looked for again. */
  readonly resume?: VerifyProgress | undefined;
  readonly progress?: (progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
  /** True: a transient failure of the store is thrown, and the caller tries again. Default: the failure becomes the verdict. */
  readonly throwsTransient?: boolean;
}

/**
 * Checks every object of a backup, and goes on after a problem, so that the report names all of them.
 *
 * - `exists`: each object is listed with its size.
 * - `checksums`: the store's own record of each SHA-256 equals the manifest's, without a download. Where the store keeps
 *   none (an S3 object sent in parts), the object is downloaded and hashed.
 * - `content`: each object is downloaded and hashed, table data decompressed and its rows counted, and the manifest's parts added up.
 *
 * Where the plan says that the repository is signed, the manifest must be, and the register of backups must have it.
 *
 * Verdict `FAILED` when an object is missing or damaged, the manifest is forged, or the register doesn't have it; `INCONCLUSIVE` when the store could not be
 * asked, or nobody whom the plan trusts signed the manifest; else `OK`.
 * Throws only the reason of an abort, mistakes of the program, and what `throwsTransient` says.
 */
export async function verifyBackup(
  store: Store,
  ref: BackupId,
  level: StoreLevel,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const problems: string[] = [];
  /** Why an `OK` would say too much. */
  const doubts: string[] = [];
  const notes: string[] = [];
  const resume = options.resume?.problems === 0 ? options.resume : undefined;
  let progress: VerifyProgress = resume ?? {
    startedAt: new Date().toISOString(),
    checkedObjects: 0,
    checkedBytes: 0,
    problems: 0,
  };
  const report = (verdict: Verdict): VerifyReport => ({
    plan: ref.plan,
    backup: ref.backup,
    level,
    verdict,
    checkedObjects: progress.checkedObjects,
    checkedBytes: progress.checkedBytes,
    problems: [...problems, ...doubts].slice(0, PROBLEMS_REPORTED),
    ...(notes.length === 0 ? {} : { notes: notes.slice(0, NOTES_REPORTED) }),
    startedAt: progress.startedAt,
    finishedAt: new Date().toISOString(),
  });
  try {
    const cancellable = defined({ signal: options.signal });
    const stored = await readStoredManifest(store, ref, { ...cancellable, signedBy: 'any' });
    const { manifest } = stored;
    for await (const checked of checkObjects(store, manifest, level, progress.checkedObjects, options)) {
      problems.push(...checked.problems);
      progress = {
        startedAt: progress.startedAt,
        checkedObjects: progress.checkedObjects + 1,
        checkedBytes: progress.checkedBytes + checked.bytes,
        problems: problems.length,
      };
      options.progress?.(progress);
    }
    // A missing or damaged object decides the verdict.
    if (level === 'content' && problems.length === 0) {
      problems.push(...(await manifestProblems(store, manifest, cancellable)));
    }
    const signatures = await signatureProblems(store, ref, stored, cancellable);
    problems.push(...signatures.problems);
    doubts.push(...signatures.doubts);
    notes.push(...signatures.notes);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof HoldfastError)) throw error;
    const verdict = problems.length > 0 || isLost(error) ? 'FAILED' : 'INCONCLUSIVE';
    if (verdict === 'INCONCLUSIVE' && error.transient && options.throwsTransient === true) throw error;
    // The code says why nothing is known, such as an identity that is not on this worker.
    problems.push(verdict === 'INCONCLUSIVE' ? `${error.message} (${error.code})` : error.message);
    return report(verdict);
  }
  if (problems.length > 0) return report('FAILED');
  return report(doubts.length > 0 ? 'INCONCLUSIVE' : 'OK');
}

/** What its signature and the register of backups say of a backup; nothing where the plan doesn't say that the repository is signed. */
async function signatureProblems(
  store: Store,
  ref: BackupId,
  { signature }: StoredManifest,
  cancellable: { readonly signal?: AbortSignal },
): Promise<{
  readonly problems: readonly string[];
  readonly doubts: readonly string[];
  readonly notes: readonly string[];
}> {
  if (signature === undefined) return { problems: [], doubts: [], notes: [] };
  const listing = await listBackups(store, ref.plan, cancellable);
  const register = await compareRegister(store, ref.plan, listing, cancellable);
  if (register === undefined) return { problems: [], doubts: [], notes: [] };
  const { about, others } = register;
  if (signature.state === 'trusted') {
    return { problems: about.get(ref.backup) ?? [], doubts: [], notes: others(ref.backup) };
  }
  const { message, code, remedy } = distrustedManifest(ref, signature);
  const refusal = `${message} ${remedy} (${code})`;
  const isForged = signature.state === 'forged';
  return {
    problems: isForged ? [refusal] : [],
    doubts: isForged ? [] : [refusal],
    notes: others(ref.backup),
  };
}

interface Checked {
  readonly bytes: number;
  readonly problems: readonly string[];
}

/** An object to be checked, under its key in the repository. */
interface Checkable {
  readonly entry: ObjectEntry;
  /** Present for table data: rows and uncompressed bytes are known. */
  readonly data?: DataObject;
  /** Present for packs: the table data in it. */
  readonly pieces?: readonly DataObject[];
  /** Present for shared objects: the files, or parts of files, that lie in it. */
  readonly ranges?: NamedSharedObject['ranges'];
}

type Check = (object: Checkable) => Promise<Checked>;

/** The outcome for each object, in the manifest's order, without the first `skip`. Throws where the store can't be asked. */
async function* checkObjects(
  store: Store,
  manifest: Manifest,
  level: StoreLevel,
  skip: number,
  options: VerifyOptions,
): AsyncGenerator<Checked> {
  const cancellable = defined({ signal: options.signal });
  const check = await checkOf(level, store, manifest, cancellable);
  const objects = objectsOf(store, manifest, cancellable);
  yield* mapBounded(from(objects, skip), options.concurrency ?? CHECKED_AT_ONCE[level], async (object) => {
    const checked = await check(object);
    return { ...checked, problems: [...checked.problems, ...unreadOf(object)] };
  });
}

/** Data that could not be read at the backup is a problem, however sound the objects are. */
function unreadOf({ data, pieces = [] }: Checkable): readonly string[] {
  return [...(data === undefined ? [] : [data]), ...pieces].flatMap(({ table, unread = [] }) =>
    unread.map((what) => `${table.schema}.${table.table}: ${what}`),
  );
}

async function* objectsOf(
  store: Store,
  manifest: Manifest,
  cancellable: { readonly signal?: AbortSignal },
): AsyncGenerator<Checkable> {
  const folder = backupFolder(manifest);
  // The list is an object too, and is reported as damaged itself.
  const reading = { ...cancellable, onDamagedList: () => undefined };
  for await (const { entry, ...rest } of readNamedObjects(store, manifest, reading)) {
    yield { ...rest, entry: { ...entry, key: folder + entry.key } };
  }
  for await (const { ranges, ...entry } of readSharedObjects(store, manifest, reading))
    yield { entry, ranges };
}

async function checkOf(
  level: StoreLevel,
  store: Store,
  manifest: Manifest,
  cancellable: { readonly signal?: AbortSignal },
): Promise<Check> {
  switch (level) {
    case 'exists': {
      const sizes = await listedSizes(store, manifest, cancellable);
      return async ({ entry }) => checkSize(entry, sizes.get(entry.key));
    }
    case 'checksums': {
      const downloads = new Limiter(DOWNLOADED_AT_ONCE);
      return async ({ entry }) => {
        const found = await store.head(entry.key, { checksum: true, ...cancellable });
        if (found === undefined) return problem(`${entry.key} is missing.`);
        if (found.sha256 === undefined)
          return downloads.run(() => checkDownload(store, { entry }, cancellable));
        const difference = differenceOf({ sha256: found.sha256, sizeBytes: found.sizeBytes }, entry);
        return difference === undefined ? sound(entry) : problem(`${entry.key}: ${difference}.`);
      };
    }
    case 'content':
      return (object) => checkDownload(store, object, cancellable);
  }
}

async function listedSizes(
  store: Store,
  manifest: Manifest,
  cancellable: { readonly signal?: AbortSignal },
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  const folders = [backupFolder(manifest), ...(manifest.tablets === undefined ? [] : [OBJECTS_FOLDER])];
  for (const folder of folders) {
    for await (const { key, sizeBytes } of store.list(folder, cancellable)) sizes.set(key, sizeBytes);
  }
  return sizes;
}

function checkSize(entry: ObjectEntry, sizeBytes: number | undefined): Checked {
  if (sizeBytes === undefined) return problem(`${entry.key} is missing.`);
  const difference = differenceOf({ sizeBytes, sha256: undefined }, entry);
  return difference === undefined ? sound(entry) : problem(`${entry.key}: ${difference}.`);
}

async function checkDownload(
  store: Store,
  { entry, data, pieces, ranges }: Checkable,
  cancellable: { readonly signal?: AbortSignal },
): Promise<Checked> {
  if (pieces !== undefined) return checkPack(store, { entry, pieces }, cancellable);
  try {
    const bytes = await store.get(entry.key, { expect: entry, ...cancellable });
    const difference =
      data === undefined ? differenceInRanges(bytes, ranges ?? []) : await differenceInContent(bytes, data);
    return difference === undefined ? sound(entry) : problem(`${entry.key}: ${difference}.`);
  } catch (error) {
    if (isDamage(error)) return problem(messageOf(error));
    throw error;
  }
}

/** A pack and what is in it. Where the pack is damaged, each of its pieces is read by itself, so that the tables are named that have lost something. */
async function checkPack(
  store: Store,
  { entry, pieces }: Required<Pick<Checkable, 'entry' | 'pieces'>>,
  cancellable: { readonly signal?: AbortSignal },
): Promise<Checked> {
  const problems: string[] = [];
  let whole: Uint8Array | undefined;
  try {
    whole = await store.get(entry.key, { expect: entry, ...cancellable });
  } catch (error) {
    if (!isDamage(error)) throw error;
    problems.push(messageOf(error));
    // What is missing altogether has no pieces to be asked for.
    if (error instanceof HoldfastError && error.code === STORE_NOT_FOUND) return { bytes: 0, problems };
  }
  for (const piece of pieces) {
    const difference = await differenceInPiece(store, entry.key, whole, piece, cancellable);
    if (difference !== undefined) problems.push(difference);
  }
  return problems.length === 0 ? sound(entry) : { bytes: 0, problems };
}

/** @param whole the pack's contents, where they are sound */
async function differenceInPiece(
  store: Store,
  key: string,
  whole: Uint8Array | undefined,
  piece: DataObject,
  cancellable: { readonly signal?: AbortSignal },
): Promise<string | undefined> {
  const { at = 0, sizeBytes, table } = piece;
  try {
    const bytes =
      whole === undefined
        ? await readData(store, '', { ...piece, key }, cancellable)
        : whole.subarray(at, at + sizeBytes);
    const difference =
      differenceOf({ sizeBytes: bytes.length, sha256: sha256Hex(bytes) }, piece) ??
      (await differenceInContent(bytes, piece));
    if (difference === undefined) return undefined;
    return `${dataObjectName({ ...piece, key })}, rows of ${table.schema}.${table.table}: ${difference}.`;
  } catch (error) {
    if (isDamage(error)) return messageOf(error);
    throw error;
  }
}

function differenceInRanges(bytes: Uint8Array, ranges: NamedSharedObject['ranges']): string | undefined {
  for (const { offset, sizeBytes, sha256 } of ranges) {
    const found = sha256Hex(bytes.subarray(offset, offset + sizeBytes));
    if (found !== sha256) return `the SHA-256 of its bytes from ${offset} is ${found} instead of ${sha256}`;
  }
  return undefined;
}

function sound(entry: ObjectEntry): Checked {
  return { bytes: entry.sizeBytes, problems: [] };
}

function problem(text: string): Checked {
  return { bytes: 0, problems: [text] };
}

/** True where the manifest is missing, damaged or a tombstone. Then the backup is at fault, and not the store. */
function isLost(error: HoldfastError): boolean {
  return isDamage(error) || error.code === 'BACKUP_NOT_FOUND' || error.code === 'BACKUP_DISCARDED';
}

async function* from<T>(items: AsyncIterable<T>, start: number): AsyncGenerator<T> {
  let index = 0;
  for await (const item of items) {
    if (index++ >= start) yield item;
  }
}
