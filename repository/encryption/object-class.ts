import { KEYS_FOLDER, REPOSITORY_KEY } from '../layout.ts';
import { PROBES_FOLDER } from '../probe.ts';

/**
 * How an object of an encrypted repository is stored, by its name alone, so that whoever writes it needs to know nothing of encryption.
 *
 * - `open`: readable by everybody, and nothing of the source is in it: `repository.json`, key files, the instructions, doctor's probe.
 * - `metadata`: for whoever holds the metadata key. What is JSON: manifests, lists, work lists, results, the ledger, marks and pins, signatures.
 * - `data`: for the recipients. Everything else, and so whatever a later version may add: rows, schema scripts, roles, snapshots' files.
 */
type ObjectClass = 'open' | 'metadata' | 'data';

const METADATA = /\.(?:json|json\.zst|verdict|sig)$/;

/** How to restore without Holdfast, for people; and the program that does the decrypting. Both stand at the top of the repository. */
export const INSTRUCTIONS_KEY = 'RESTORE.md';
export const DECRYPT_KEY = 'decrypt.mjs';

export function classOf(key: string): ObjectClass {
  if (isKeptByTheDoor(key) || key === REPOSITORY_KEY || key.startsWith(PROBES_FOLDER)) return 'open';
  return METADATA.test(key) ? 'metadata' : 'data';
}

/** What nobody writes but the encryption itself. */
export function isKeptByTheDoor(key: string): boolean {
  return key.startsWith(KEYS_FOLDER) || key === INSTRUCTIONS_KEY || key === DECRYPT_KEY;
}
