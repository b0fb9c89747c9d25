import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FoundFile } from './folders.ts';

/** Entries of about 200 bytes. */
const MAX_REMEMBERED = 500_000;
const READ_BYTES = 1024 * 1024;

/**
 * Files whose SHA-256 this process has checked, by device, inode, size and mtime. A file is read once, however often it is looked at, and again
 * after a write. A new process starts anew.
 */
export class ProvenFiles {
  readonly #proven = new Set<string>();

  /** Whether the file's bytes have this SHA-256. */
  async has(file: FoundFile, sha256: string, signal: AbortSignal): Promise<boolean> {
    if (this.#proven.has(nameOf(file, sha256))) return true;
    const found = await hashOf(file.absolute, signal);
    if (found !== sha256) return false;
    // Forgetting all of them costs reading them again.
    if (this.#proven.size >= MAX_REMEMBERED) this.#proven.clear();
    this.#proven.add(nameOf(file, sha256));
    return true;
  }
}

const nameOf = ({ identity }: FoundFile, sha256: string): string => `${identity} ${sha256}`;

async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, READ_BYTES);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytesRead));
  }
}
