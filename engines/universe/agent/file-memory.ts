import { createHash } from 'node:crypto';
import { appendFile, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { messageOf, permanent } from '../../../model/errors.ts';
import type { RepositorySpec } from '../../../model/pipeline.ts';
import { makeFolder } from '../../../repository/directory/make-folder.ts';
import type { StoredRange } from '../../../repository/objects/object-index.ts';

/** A part of a file and where it was stored. */
export interface RememberedPart {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly range: StoredRange;
}

/** A file that was hashed and sent. */
export interface RememberedFile {
  readonly sha256: string;
  readonly parts: readonly RememberedPart[];
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** How long objects that no index names yet are trusted after they were sent, unless they are being deleted: they may have been there before, and be older. */
const UNINDEXED_TRUST_MS = 12 * 3_600_000;
/** A file that no backup has come across for so long is forgotten. */
const FORGET_AFTER_MS = 120 * 24 * 3_600_000;
const LINES_BEFORE_COMPACTING = 50_000;

const rangeSchema = z.object({
  object: z.object({ key: z.string(), sizeBytes: z.number(), sha256: z.string() }),
  offset: z.number(),
  index: z.string().exactOptional(),
});
const lineSchema = z.object({
  file: z.string(),
  sha256: z.string(),
  parts: z.array(z.object({ sha256: z.string(), sizeBytes: z.number(), range: rangeSchema })),
  at: z.number(),
});

/**
 * Remembers what one agent has sent to one repository: by hash, and by a file's device, inode, size and mtime (SSTables never change, and a
 * snapshot's files are hard links to them). A large file is remembered part by part until all of it is stored.
 *
 * The memory is a file of JSON lines. It is only appended to, except when opening compacts it, so it survives `kill -9`. If a crash cuts a line
 * off, a file is hashed and sent again. It is a cache: deleting it does no harm.
 */
export class FileMemory {
  readonly #path: string;
  readonly #files = new Map<string, RememberedFile>();
  readonly #byHash = new Map<string, RememberedPart>();
  /** Lines that wait until what is being appended is on the disk. */
  #waiting: { readonly lines: string[]; readonly appended: Promise<void> } | undefined;
  #appending: Promise<void> = Promise.resolve();

  private constructor(path: string) {
    this.#path = path;
  }

  /** @param folder of this node; one file for each repository. */
  static async open(folder: string, repository: RepositorySpec): Promise<FileMemory> {
    const name = createHash('sha256').update(JSON.stringify(repository.location)).digest('hex').slice(0, 16);
    const memory = new FileMemory(join(folder, `${name}.jsonl`));
    await memory.#load();
    return memory;
  }

  /** What is known of a file; undefined if any part of it can't be trusted. `vouched` says whether a stored range still exists. */
  find(identity: string, vouched: (range: StoredRange) => boolean): RememberedFile | undefined {
    const known = this.#files.get(identity);
    return known?.parts.every((part) => this.#trusted(part, known.at, vouched)) ? known : undefined;
  }

  /** Where bytes of this hash are stored; undefined if unknown, or not vouched for. */
  findHash(
    sha256: string,
    sizeBytes: number,
    vouched: (range: StoredRange) => boolean,
  ): StoredRange | undefined {
    const known = this.#byHash.get(`${sha256}:${sizeBytes}`);
    return known !== undefined && vouched(known.range) ? known.range : undefined;
  }

  /** Remembers files that were sent, or found again. */
  async remember(
    files: readonly { readonly identity: string; readonly file: RememberedFile }[],
  ): Promise<void> {
    if (files.length === 0) return;
    for (const { identity, file } of files) this.#note(identity, file);
    await this.#append(files.map(({ identity, file }) => lineOf(identity, file)));
  }

  /**
   * Appends one batch of lines after another, so that lines of two tasks don't mix. Lines that come meanwhile share the next append, since
   * thousands of files bring one each.
   */
  #append(lines: readonly string[]): Promise<void> {
    if (this.#waiting !== undefined) {
      this.#waiting.lines.push(...lines);
      return this.#waiting.appended;
    }
    const together = [...lines];
    const appended = this.#appending.then(() => {
      this.#waiting = undefined;
      return appendFile(this.#path, together.join(''), { mode: 0o600 });
    });
    this.#waiting = { lines: together, appended };
    // Only this append's callers get its failure: the next one may succeed, on a disk that has room again.
    this.#appending = appended.catch(() => undefined);
    return appended;
  }

  #trusted(part: RememberedPart, at: number, vouched: (range: StoredRange) => boolean): boolean {
    return vouched(part.range) && (part.range.index !== undefined || Date.now() - at < UNINDEXED_TRUST_MS);
  }

  #note(identity: string, file: RememberedFile): void {
    this.#files.set(identity, file);
    let offset = 0;
    for (const part of file.parts) {
      // The entry of the whole file replaces those of its parts.
      this.#files.delete(partIdentity(identity, offset));
      offset += part.sizeBytes;
      if (part.range.index !== undefined) this.#byHash.set(`${part.sha256}:${part.sizeBytes}`, part);
    }
  }

  async #load(): Promise<void> {
    const lines = await this.#lines();
    const oldest = Date.now() - FORGET_AFTER_MS;
    for (const line of lines) {
      const parsed = lineSchema.safeParse(jsonOf(line));
      // Skips what is too old, lines that a crash cut off, and the empty one at the end.
      if (!parsed.success || parsed.data.at < oldest) continue;
      const { file, ...remembered } = parsed.data;
      this.#note(file, remembered);
    }
    if (lines.length > LINES_BEFORE_COMPACTING && lines.length > 2 * this.#files.size) await this.#compact();
  }

  async #lines(): Promise<readonly string[]> {
    try {
      await makeFolder(dirname(this.#path), 0o700);
      return (await readFile(this.#path, 'utf8')).split('\n');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw permanent(
        'AGENT_STATE',
        `The agent can't use its folder of state (${messageOf(error)})`,
        'Let the user that it runs as write there, or give it another folder with HOLDFAST_STATE_DIR.',
        error,
      );
    }
  }

  async #compact(): Promise<void> {
    const lines = [...this.#files].map(([identity, file]) => lineOf(identity, file));
    await writeFile(`${this.#path}.new`, lines.join(''), { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
  }
}

/** The key under which a part of a file is remembered until the whole file is stored. */
export function partIdentity(identity: string, offset: number): string {
  return `${identity}@${offset}`;
}

function lineOf(identity: string, file: RememberedFile): string {
  return `${JSON.stringify({ file: identity, ...file })}\n`;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
