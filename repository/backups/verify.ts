import {
  type DataObject,
  dataObjectName,
  type ObjectEntry,
  type Verdict,
  type VerifyReport,
} from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError, messageOf, recover } from '../../model/errors.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { VerifyLevel } from '../../model/pipeline.ts';
import { mapBounded } from '../bounded.ts';
import { type BackupId, backupFolder, OBJECTS_FOLDER } from '../layout.ts';
import { Limiter } from '../limiter.ts';
import { sha256Hex } from '../sha256.ts';
import { compareRegister } from '../signing/register.ts';
import type { Cancellable, Store } from '../store.ts';
import { differenceOf, isDamage, STORE_NOT_FOUND } from '../store-errors.ts';
import { differenceInContent } from './content.ts';
import { readData } from './data-pieces.ts';
import { listBackups } from './list-backups.ts';
import { distrustedManifest, readNamedObjects, readStoredManifest, type StoredManifest } from './manifest.ts';
import { manifestProblems } from './manifest-sums.ts';
import { type NamedSharedObject, readSharedObjects, sharesRows } from './shared-objects.ts';

/** Levels that need the store alone; `restore` also needs a database. */
type StoreLevel = Exclude<VerifyLevel, 'restore'>;

const PROBLEMS_REPORTED = 100;
const NOTES_REPORTED = 20;

const CHECKED_AT_ONCE: Readonly<Record<StoreLevel, number>> = { exists: 4, checksums: 16, content: 4 };
/** Most objects that level `checksums` downloads at once, since each is held in memory. It downloads only where the store knows no SHA-256. */
const DOWNLOADED_AT_ONCE = 2;

/** How far a verification has come. If it has found no problem, another machine can continue from here. */
export type VerifyProgress = {
  readonly startedAt: string;
  /** Number of objects that are checked without a gap, in the manifest's order. */
  readonly checkedObjects: number;
  readonly checkedBytes: number;
  /** Notes included. */
  readonly problems: number;
};

interface VerifyOptions {
  /** Objects checked at once; level `content` holds each in memory. Default 4, and 16 at level `checksums`, which only asks the store. */
  readonly concurrency?: number;
  /** How far an interrupted verification had come. Ignored if it had found problems: they must be found again. */
  readonly resume?: VerifyProgress | undefined;
  readonly progress?: (progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
  /** True: a transient failure of the store is thrown, so that the caller can try again. Default: it becomes the verdict. */
  readonly throwsTransient?: boolean;
}

/**
 * Checks every object of a backup. It goes on after a problem, so that the report names all of them.
 *
 * - `exists`: each object is listed with its size.
 * - `checksums`: the store's own record of each SHA-256 equals the manifest's, without a download. Where the store has no record (an S3 object sent in
 *   parts), the object is downloaded and hashed.
 * - `content`: each object is downloaded and hashed, table data is decompressed and its rows are counted, and the manifest's sums are checked.
 *
 * Where the plan says that the repository is signed, the manifest must be signed, and the register of backups must contain it.
 *
 * The verdict is `FAILED` if an object is missing or damaged, the manifest is forged, or the register lacks it; `INCONCLUSIVE` if the store could not be
 * asked, or no trusted key signed the manifest; else `OK`.
 * Throws only the reason of an abort, mistakes of the program, and what `throwsTransient` says.
 */
export async function verifyBackup(
  store: Store,
  ref: BackupId,
  level: StoreLevel,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const problems: string[] = [];
  /** Reasons why the verdict can't be `OK` although nothing is wrong. */
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
      notes.push(...(checked.notes ?? []));
      progress = {
        startedAt: progress.startedAt,
        checkedObjects: progress.checkedObjects + 1,
        checkedBytes: progress.checkedBytes + checked.bytes,
        problems: problems.length + notes.length,
      };
      options.progress?.(progress);
    }
    // The sums are checked only if nothing else is wrong: a missing or damaged object decides the verdict already.
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
    // The code names the cause, e.g. an identity that this worker doesn't have.
    problems.push(verdict === 'INCONCLUSIVE' ? `${error.message} (${error.code})` : error.message);
    return report(verdict);
  }
  if (problems.length > 0) return report('FAILED');
  return report(doubts.length > 0 ? 'INCONCLUSIVE' : 'OK');
}

/** What is wrong with a backup's signature, and by the register of backups. Nothing where the plan doesn't say that the repository is signed. */
async function signatureProblems(
  store: Store,
  ref: BackupId,
  { signature }: StoredManifest,
  cancellable: Cancellable,
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
  /** What is wrong, and costs this backup nothing. */
  readonly notes?: readonly string[];
}

/** An object to check. Its key is relative to the repository. */
interface Checkable {
  readonly entry: ObjectEntry;
  /** Present for table data: its rows and uncompressed bytes are known. */
  readonly data?: DataObject;
  /** Present for a pack: the table data in it. */
  readonly pieces?: readonly DataObject[];
  /** Present for a shared object: the files, or parts of files, in it. */
  readonly ranges?: NamedSharedObject['ranges'];
}

type Check = (object: Checkable) => Promise<Checked>;

/** The result for each object, in the manifest's order, from the object with index `skip` on. Throws where the store can't be asked. */
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

/** The problems of data that the backup could not read. They exist even if all objects are sound. */
function unreadOf({ data, pieces = [] }: Checkable): readonly string[] {
  return [...(data === undefined ? [] : [data]), ...pieces].flatMap(({ table, unread = [] }) =>
    unread.map((what) => `${table.schema}.${table.table}: ${what}`),
  );
}

async function* objectsOf(
  store: Store,
  manifest: Manifest,
  cancellable: Cancellable,
): AsyncGenerator<Checkable> {
  const folder = backupFolder(manifest);
  // A damaged list is reported as an object of its own, so nothing is done here.
  const reading = { ...cancellable, onDamagedList: () => undefined };
  for await (const { entry, ...rest } of readNamedObjects(store, manifest, reading)) {
    yield { ...rest, entry: { ...entry, key: folder + entry.key } };
  }
  for await (const { key, sizeBytes, sha256, ...held } of readSharedObjects(store, manifest, reading)) {
    yield { entry: { key, sizeBytes, sha256 }, ...held };
  }
}

async function checkOf(
  level: StoreLevel,
  store: Store,
  manifest: Manifest,
  cancellable: Cancellable,
): Promise<Check> {
  switch (level) {
    case 'exists': {
      const sizes = await listedSizes(store, manifest, cancellable);
      return async ({ entry }) => checkSize(entry, sizes.get(entry.key));
    }
    case 'checksums': {
      const downloads = new Limiter(DOWNLOADED_AT_ONCE);
      return async ({ entry }) => {
        const { sizeBytes } = entry;
        const found = await store.head(entry.key, { checksum: true, sizeBytes, ...cancellable });
        if (found?.sizeBytes !== sizeBytes) return checkSize(entry, found?.sizeBytes);
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
  cancellable: Cancellable,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  const folders = [
    backupFolder(manifest),
    ...(manifest.tablets !== undefined || sharesRows(manifest) ? [OBJECTS_FOLDER] : []),
  ];
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
  cancellable: Cancellable,
): Promise<Checked> {
  if (pieces !== undefined) {
    return checkPack(store, { entry, pieces, isShared: ranges !== undefined }, cancellable);
  }
  if (ranges !== undefined && data === undefined) return checkShared(store, { entry, ranges }, cancellable);
  const check = async (): Promise<Checked> => {
    const bytes = await store.get(entry.key, { expect: entry, ...cancellable });
    const difference = data === undefined ? undefined : await differenceInContent(bytes, data);
    return difference === undefined ? sound(entry) : problem(`${entry.key}: ${difference}.`);
  };
  return await recover(check(), isDamage, ({ message }) => problem(message));
}

/**
 * Checks a pack and its pieces. If the pack is damaged, each piece is read by itself, to name the tables that have lost something. Damage in bytes of a
 * shared pack that only other backups need is a note, as in `checkShared`.
 */
async function checkPack(
  store: Store,
  { entry, pieces, isShared }: Required<Pick<Checkable, 'entry' | 'pieces'>> & { readonly isShared: boolean },
  cancellable: Cancellable,
): Promise<Checked> {
  let damage: string | undefined;
  let whole: Uint8Array | undefined;
  try {
    whole = await store.get(entry.key, { expect: entry, ...cancellable });
  } catch (error) {
    if (!isDamage(error)) throw error;
    damage = messageOf(error);
    // If the whole pack is missing, there are no pieces to read.
    if (error instanceof HoldfastError && error.code === STORE_NOT_FOUND) return problem(damage);
  }
  const lost: string[] = [];
  for (const piece of pieces) {
    const difference = await differenceInPiece(store, entry.key, whole, piece, cancellable);
    if (difference !== undefined) lost.push(difference);
  }
  if (damage === undefined) return lost.length === 0 ? sound(entry) : { bytes: 0, problems: lost };
  const isHarmless = isShared && lost.length === 0 && pieces.length > 0;
  if (isHarmless && (await hasItsSize(store, entry, cancellable))) return harmless(entry, damage);
  return { bytes: 0, problems: [damage, ...lost] };
}

/** @param whole the pack's contents. Undefined: the pack is damaged, so the piece is read by itself */
async function differenceInPiece(
  store: Store,
  key: string,
  whole: Uint8Array | undefined,
  piece: DataObject,
  cancellable: Cancellable,
): Promise<string | undefined> {
  const { at = 0, sizeBytes, table } = piece;
  const compare = async (): Promise<string | undefined> => {
    const bytes =
      whole === undefined
        ? await readData(store, '', { ...piece, key }, cancellable)
        : whole.subarray(at, at + sizeBytes);
    const difference =
      differenceOf({ sizeBytes: bytes.length, sha256: sha256Hex(bytes) }, piece) ??
      (await differenceInContent(bytes, piece));
    if (difference === undefined) return undefined;
    return `${dataObjectName({ ...piece, key })}, rows of ${table.schema}.${table.table}: ${difference}.`;
  };
  return await recover(compare(), isDamage, messageOf);
}

/**
 * Checks a shared object. If it is damaged, the ranges that this backup needs are read by themselves, as a restore reads them: damage in bytes that
 * only other backups need is a note, since it costs this one nothing.
 */
async function checkShared(
  store: Store,
  { entry, ranges }: Required<Pick<Checkable, 'entry' | 'ranges'>>,
  cancellable: Cancellable,
): Promise<Checked> {
  try {
    const bytes = await store.get(entry.key, { expect: entry, ...cancellable });
    const wrong = ranges.flatMap((range) =>
      differenceInRange(entry.key, range, bytes.subarray(range.offset, range.offset + range.sizeBytes)),
    );
    return wrong.length === 0 ? sound(entry) : { bytes: 0, problems: wrong };
  } catch (error) {
    if (!isDamage(error)) throw error;
    if (!(await hasItsSize(store, entry, cancellable))) return problem(messageOf(error));
    const lost = await damagedRanges(store, entry.key, ranges, cancellable);
    if (lost.length > 0 || ranges.length === 0) return { bytes: 0, problems: [messageOf(error), ...lost] };
    return harmless(entry, messageOf(error));
  }
}

async function hasItsSize(
  store: Store,
  { key, sizeBytes }: ObjectEntry,
  cancellable: Cancellable,
): Promise<boolean> {
  return (await store.head(key, cancellable))?.sizeBytes === sizeBytes;
}

/** A damaged object that costs this backup nothing. */
function harmless(entry: ObjectEntry, damage: string): Checked {
  return { ...sound(entry), notes: [`${damage} The bytes in it that this backup needs are whole.`] };
}

/** The ranges of a damaged object that can't be read as they were written. */
async function damagedRanges(
  store: Store,
  key: string,
  ranges: NamedSharedObject['ranges'],
  cancellable: Cancellable,
): Promise<readonly string[]> {
  const damaged: string[] = [];
  for (const range of ranges) {
    const { offset: start, sizeBytes } = range;
    const read = async () => {
      const bytes = await store.get(key, { range: { start, end: start + sizeBytes }, ...cancellable });
      return differenceInRange(key, range, bytes);
    };
    damaged.push(...(await recover(read(), isDamage, ({ message }) => [message])));
  }
  return damaged;
}

function differenceInRange(
  key: string,
  { offset, sha256 }: NamedSharedObject['ranges'][number],
  bytes: Uint8Array,
): readonly string[] {
  const found = sha256Hex(bytes);
  if (found === sha256) return [];
  return [`${key}: the SHA-256 of its bytes from ${offset} is ${found} instead of ${sha256}.`];
}

function sound(entry: ObjectEntry): Checked {
  return { bytes: entry.sizeBytes, problems: [] };
}

function problem(text: string): Checked {
  return { bytes: 0, problems: [text] };
}

/** True if the manifest is missing, damaged or a tombstone: the fault is the backup's, not the store's. */
function isLost(error: HoldfastError): boolean {
  return isDamage(error) || error.code === 'BACKUP_NOT_FOUND' || error.code === 'BACKUP_DISCARDED';
}

async function* from<T>(items: AsyncIterable<T>, start: number): AsyncGenerator<T> {
  let index = 0;
  for await (const item of items) {
    if (index++ >= start) yield item;
  }
}
