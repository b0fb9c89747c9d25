import { createHash } from 'node:crypto';
import { constants, type Dirent } from 'node:fs';
import { type FileHandle, open, readdir, realpath } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { defined } from '../../model/defined.ts';
import { crashPoint } from '../crash-points.ts';
import { checkKey, checkPrefix, isKey, TEMPORARY_FOLDER } from '../key.ts';
import { DEFAULT_RETRY, type RetryLimits, withRetry } from '../retry.ts';
import { sha256Hex } from '../sha256.ts';
import type {
  Cancellable,
  GetOptions,
  HeadOptions,
  ListedObject,
  PutOptions,
  Store,
  StoredObject,
} from '../store.ts';
import { checksumMismatch, damaged, differenceInSize, differenceOf, notFound } from '../store-errors.ts';
import {
  ensureFolder,
  entryAt,
  existsFor,
  folderIsThere,
  linkIfAbsent,
  removeEmptyFolders,
  renameOver,
  symbolicLink,
  syncFolder,
  unlinkIfThere,
  writeTemporary,
} from './durable-file.ts';
import { directoryError, errnoOf, isAbsent } from './errors.ts';
import { type GroupAccess, type Modes, mkdirIfAbsent, modesFor } from './modes.ts';

const READ_BLOCK_BYTES = 1024 * 1024;

interface DirectoryStoreOptions {
  readonly retry?: RetryLimits;
  /** Absent: only the owner reads and writes what the store makes. */
  readonly groupAccess?: GroupAccess;
}

/**
 * Objects as files under one directory (a disk, an NFS mount).
 *
 * A put writes a temporary file, syncs it, and gives it its name by link(2), which fails if the name exists. So readers see whole objects
 * only, and of two writers one wins, on NFS too. Then the put syncs the folder. A crash in between leaves a file in `.holdfast-tmp/`,
 * which `discardUnfinished` removes.
 *
 * New folders and files belong to the owner alone, or to the group too if the settings ask for it. Existing ones keep their permissions.
 *
 * Symbolic links inside the directory are refused, so that no key leads out of it. The directory itself may be one.
 */
export class DirectoryStore implements Store {
  readonly description: string;
  readonly readsForChecksums = true;
  readonly #path: string;
  readonly #retry: RetryLimits;
  readonly #modes: Modes;

  /** Opens without touching the disk. The first put creates the directory if its parent exists. */
  constructor(path: string, options: DirectoryStoreOptions = {}) {
    this.#path = resolve(path);
    this.description = this.#path;
    this.#retry = options.retry ?? DEFAULT_RETRY;
    this.#modes = modesFor(options.groupAccess);
  }

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    checkKey(key);
    if (sha256Hex(body) !== options.sha256) throw checksumMismatch(key, this.description);
    return this.#try(`write ${key}`, options, async () => {
      const root = await this.#createdRoot();
      const file = join(root, key);
      await ensureFolder(root, dirname(file), this.#modes);
      // If a retry finds its object, it need not write. Of two writers at once, the link below decides.
      if (options.ifAbsent && (await entryAt(file)) !== undefined) return await existsFor(file);
      const temporary = await writeTemporary(root, body, this.#modes, options.signal);
      crashPoint('put-written');
      try {
        return options.ifAbsent
          ? await linkIfAbsent(root, temporary, file, this.#modes)
          : await renameOver(root, temporary, file, this.#modes);
      } finally {
        await unlinkIfThere(temporary);
      }
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const bytes = await this.#try(`read ${key}`, options, async () => {
      await using handle = await this.#openFile(key);
      if (handle === undefined) throw notFound(key, this.description);
      const { size } = await handle.stat();
      const start = Math.min(options.range?.start ?? 0, size);
      const end = Math.max(start, Math.min(options.range?.end ?? size, size));
      const difference = differenceInSize(end - start, options);
      if (difference !== undefined) throw damaged(key, this.description, difference);
      return await readRange(handle, start, end, options);
    });
    if (options.expect !== undefined) {
      const actual = { sizeBytes: bytes.byteLength, sha256: sha256Hex(bytes) };
      const difference = differenceOf(actual, options.expect);
      if (difference !== undefined) throw damaged(key, this.description, difference);
    }
    return bytes;
  }

  async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    checkKey(key);
    return this.#try(`look at ${key}`, options, async () => {
      await using handle = await this.#openFile(key);
      if (handle === undefined) return undefined;
      const { size } = await handle.stat();
      const isAsked = options.checksum === true && (options.sizeBytes ?? size) === size;
      if (!isAsked) return { sizeBytes: size };
      return { sizeBytes: size, sha256: await hashOf(handle, options.signal) };
    });
  }

  async *list(prefix: string, options: Cancellable = {}): AsyncGenerator<ListedObject> {
    checkPrefix(prefix);
    const root = await this.#try('list objects', options, () => this.#existingRoot());
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const key of this.#walk(root, folder, prefix, options.signal)) {
      const found = await this.#try(`look at ${key}`, options, () => entryAt(join(root, key)));
      // It was deleted after the listing.
      if (found === undefined) continue;
      yield { key, sizeBytes: found.size, modifiedAt: found.mtime };
    }
  }

  async *folders(folder: string, options: Cancellable = {}): AsyncGenerator<string> {
    checkPrefix(folder);
    const root = await this.#try('list folders', options, () => this.#existingRoot());
    for (const entry of await this.#entriesOf(root, folder, options.signal)) {
      if (entry.isDirectory() && isKey(`${folder}${entry.name}`)) yield entry.name;
    }
  }

  async delete(keys: readonly string[], options: Cancellable = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    const root = await this.#try('delete objects', options, () => this.#existingRoot());
    for (const key of keys) {
      await this.#try(`delete ${key}`, options, async () => {
        const file = join(root, key);
        if (!(await folderIsThere(root, dirname(file)))) return;
        await unlinkIfThere(file);
        await removeEmptyFolders(root, dirname(file));
      });
    }
  }

  async discardUnfinished(options: Cancellable & { readonly olderThanMs: number }): Promise<number> {
    const root = await this.#try('list temporary files', options, () => this.#existingRoot());
    const newestMs = Date.now() - options.olderThanMs;
    let discarded = 0;
    for (const entry of await this.#entriesOf(root, `${TEMPORARY_FOLDER}/`, options.signal)) {
      discarded += await this.#try(`discard the temporary file ${entry.name}`, options, async () => {
        const file = join(root, TEMPORARY_FOLDER, entry.name);
        const found = await entryAt(file);
        if (found === undefined || found.mtimeMs > newestMs) return 0;
        await unlinkIfThere(file);
        return 1;
      });
    }
    return discarded;
  }

  async close(): Promise<void> {
    // Nothing to close: no file stays open between calls.
  }

  /** Keys under `folder` that start with `prefix`. Memory is bounded by the depth and by the largest folder. */
  async *#walk(
    root: string,
    folder: string,
    prefix: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<string> {
    for (const entry of await this.#entriesOf(root, folder, signal)) {
      const key = `${folder}${entry.name}`;
      if (!isKey(key)) continue;
      if (entry.isSymbolicLink() && key.startsWith(prefix)) throw symbolicLink(join(root, key));
      if (entry.isDirectory()) {
        const inside = `${key}/`;
        if (inside.startsWith(prefix) || prefix.startsWith(inside)) {
          yield* this.#walk(root, inside, prefix, signal);
        }
      } else if (entry.isFile() && key.startsWith(prefix) && !isRemovedButOpen(entry)) {
        yield key;
      }
    }
  }

  async #entriesOf(
    root: string,
    folder: string,
    signal: AbortSignal | undefined,
  ): Promise<readonly Dirent[]> {
    return this.#try(`list ${folder}`, defined({ signal }), async () => {
      if (!(await folderIsThere(root, join(root, folder)))) return [];
      try {
        return await readdir(join(root, folder), { withFileTypes: true });
      } catch (error) {
        // It was removed meanwhile: a clean-up deletes empty folders.
        if (errnoOf(error) === 'ENOENT') return [];
        throw error;
      }
    });
  }

  /** The open file, or undefined where there is none. */
  async #openFile(key: string): Promise<FileHandle | undefined> {
    const root = await this.#existingRoot();
    const file = join(root, key);
    if (!(await folderIsThere(root, dirname(file)))) return undefined;
    let handle: FileHandle;
    try {
      handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      if (errnoOf(error) === 'ELOOP') throw symbolicLink(file);
      throw error;
    }
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    return undefined;
  }

  /** The directory is resolved on each call, so that a mount that appears or disappears is noticed. */
  async #existingRoot(): Promise<string> {
    return realpath(this.#path);
  }

  async #createdRoot(): Promise<string> {
    try {
      return await realpath(this.#path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    // Only one level is created. If the parent is missing too, the path is more likely a mistake or a missing mount.
    await mkdirIfAbsent(this.#path, this.#modes);
    await syncFolder(dirname(this.#path));
    return realpath(this.#path);
  }

  async #try<T>(what: string, options: Cancellable, operation: () => Promise<T>): Promise<T> {
    const { signal } = options;
    const described = async (): Promise<T> => {
      try {
        return await operation();
      } catch (error) {
        throw directoryError(error, what, this.description);
      }
    };
    return withRetry(described, this.#retry, signal);
  }
}

/** An NFS client gives such a name to a file that is removed while a process has it open. */
function isRemovedButOpen(entry: Dirent): boolean {
  return entry.name.startsWith('.nfs');
}

/** The bytes from `start` to `end`, or up to the end of the file if that comes earlier. */
async function readRange(
  handle: FileHandle,
  start: number,
  end: number,
  { memory = Buffer.allocUnsafe, signal }: Pick<GetOptions, 'memory' | 'signal'>,
): Promise<Uint8Array> {
  const buffer = memory(end - start);
  let filled = 0;
  while (filled < buffer.length) {
    signal?.throwIfAborted();
    const length = Math.min(READ_BLOCK_BYTES, buffer.length - filled);
    const { bytesRead } = await handle.read(buffer, filled, length, start + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

async function hashOf(handle: FileHandle, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  const block = Buffer.allocUnsafe(READ_BLOCK_BYTES);
  for (let position = 0; ; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(block, 0, block.length, position);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(block.subarray(0, bytesRead));
    position += bytesRead;
  }
}
