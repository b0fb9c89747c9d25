import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { DECRYPT_PROGRAM } from './decrypt-program.ts';
import { DECRYPT_KEY, INSTRUCTIONS_KEY } from './object-class.ts';

/** Writes the instructions and the program for a restore without Holdfast at the top of a repository, unless they exist. */
export async function writeInstructions(raw: Store, options: Cancellable = {}): Promise<void> {
  for (const [key, text] of [
    [DECRYPT_KEY, DECRYPT_PROGRAM],
    [INSTRUCTIONS_KEY, INSTRUCTIONS],
  ] as const) {
    const body = Buffer.from(text);
    await raw.put(key, body, { sha256: sha256Hex(body), ifAbsent: true, ...options });
  }
}

const INSTRUCTIONS = `# An encrypted Holdfast repository

Everything here is encrypted but this page, \`decrypt.mjs\`, \`repository.json\` and the key files under \`keys/\`. To restore a backup you need the identity of
one of the recipients (a file with a line \`AGE-SECRET-KEY-1…\`). With Holdfast: give it as \`identity\` in the Repository, and \`holdfast restore\`.

Without Holdfast you need \`age\` (https://age-encryption.org, or your distribution's package) and Node 18 or newer. Download the repository into a folder, go
there, and:

\`\`\`sh
umask 077
for file in keys/*.age; do age -d -i "$IDENTITY" "$file"; done > ../keys.txt
node decrypt.mjs . ../keys.txt ../clear
\`\`\`

\`../clear\` then holds what a clear repository would. Each \`backups/PLAN/BACKUP/\` there has a RESTORE.md of its own, which goes on from here. To decrypt one backup
only, add its folder: \`node decrypt.mjs . ../keys.txt ../clear backups/PLAN/BACKUP/\`, and where its RESTORE.md asks for \`objects/\` run it once more with that. Remove \`keys.txt\` afterwards: it opens everything.

Whoever could write here could have changed \`decrypt.mjs\`. Where that matters, take it from a Holdfast that you trust: \`holdfast keys decryptor > decrypt.mjs\`.
`;
