import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { constants, createZstdDecompress } from 'node:zlib';

/** A word of the source, and where in a repository's files, or their names, a thief found it. */
export type Loot = Readonly<Record<string, readonly string[]>>;

const ZSTD_MAGIC = Buffer.from('28b52ffd', 'hex');

/**
 * What somebody finds who has every byte of a repository and no key: in names, in bytes, in what decompresses from anywhere in them, and in what
 * reads as base64 or hex. Words that are nowhere are left out.
 */
export async function search(folder: string, words: readonly string[]): Promise<Loot> {
  const found: Record<string, string[]> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(folder, file);
    const bytes = await readFile(file);
    const texts = [Buffer.from(name), bytes, ...(await decompressed(bytes))];
    for (const word of words) {
      const forms = [
        word,
        Buffer.from(word).toString('hex'),
        Buffer.from(word).toString('base64').slice(0, -4),
      ];
      if (texts.some((text) => forms.some((form) => form.length > 3 && text.includes(form)))) {
        found[word] = [...(found[word] ?? []), name];
      }
    }
  }
  return found;
}

/** Every file of a repository that is neither encrypted nor one that everybody may read. */
export async function clearFiles(folder: string): Promise<readonly string[]> {
  const clear: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(folder, file);
    if (/^(?:repository\.json|RESTORE\.md|decrypt\.mjs|keys\/[0-9a-f]{32}\.age|doctor\/.*)$/.test(name))
      continue;
    if ((await readFile(file)).toString('latin1', 0, 8) !== 'HLDFAST2') clear.push(name);
  }
  return clear;
}

async function decompressed(bytes: Buffer): Promise<readonly Buffer[]> {
  const texts: Buffer[] = [];
  for (let at = bytes.indexOf(ZSTD_MAGIC); at !== -1; at = bytes.indexOf(ZSTD_MAGIC, at + 1)) {
    const stream = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 27 } });
    const pieces: Buffer[] = [];
    stream.on('data', (piece: Buffer) => pieces.push(piece));
    await new Promise((resolve) => {
      // What only looks like zstd ends in an error, and what came out before is looked at all the same.
      stream.once('end', resolve).once('error', resolve);
      stream.end(bytes.subarray(at));
    });
    texts.push(Buffer.concat(pieces));
  }
  return texts;
}
