import { KEYS_FOLDER, REPOSITORY_KEY } from '../layout.ts';
import { PROBES_FOLDER } from '../probe.ts';

/**
 * How an object of an encrypted repository is stored. Its name alone decides, so that its writer needs to know nothing of encryption.
 *
 * - `open`: everybody can read it, and it contains nothing of the source: `repository.json`, key files, the instructions, doctor's probe.
 * - `metadata`: for holders of the metadata key. All JSON: manifests, lists, work lists, results, the ledger, marks and pins; and signatures.
 * - `data`: for the recipients. Everything else, including whatever a later version may add: rows, schema scripts, roles, snapshots' files.
 */
type ObjectClass = 'open' | 'metadata' | 'data';

const METADATA = /\.(?:json|json\.zst|verdict|sig)$/;

/** Instructions for people who restore without Holdfast, and the program that decrypts. Both are at the top of the repository. */
export const INSTRUCTIONS_KEY = 'RESTORE.md';
export const DECRYPT_KEY = 'decrypt.mjs';

/** The class of an object, by its key. */
export function classOf(key: string): ObjectClass {
  if (isKeptByTheDoor(key) || key === REPOSITORY_KEY || key.startsWith(PROBES_FOLDER)) return 'open';
  return METADATA.test(key) ? 'metadata' : 'data';
}

/** True for objects that only the encryption itself writes. */
export function isKeptByTheDoor(key: string): boolean {
  return key.startsWith(KEYS_FOLDER) || key === INSTRUCTIONS_KEY || key === DECRYPT_KEY;
}
