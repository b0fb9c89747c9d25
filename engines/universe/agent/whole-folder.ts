import { readFile } from 'node:fs/promises';
import { permanent } from '../../../model/errors.ts';
import type { FoundFile } from './folders.ts';

/** The databases in a tablet's folder: that of its rows, and that of its transactions. */
const DATABASES = ['', 'intents/'];

/**
 * Throws `AGENT_SNAPSHOT_INCOMPLETE` (permanent) if a snapshot's folder lacks files that a tablet server can't do without. RocksDB opens a database
 * by its file CURRENT, which names the manifest that lists the other files; those are not checked.
 */
export async function requireWhole(tablet: string, files: readonly FoundFile[]): Promise<void> {
  for (const database of DATABASES) {
    const own = files.filter(({ path }) => path.startsWith(database));
    // A tablet without transactions has no intents.
    if (database !== '' && own.length === 0) continue;
    const current = own.find(({ path }) => path === `${database}CURRENT`);
    if (current === undefined) throw incomplete(tablet, `${database}CURRENT`);
    const manifest = `${database}${(await readFile(current.absolute, 'utf8')).trim()}`;
    if (!own.some(({ path }) => path === manifest)) throw incomplete(tablet, manifest);
  }
}

function incomplete(tablet: string, file: string): Error {
  return permanent(
    'AGENT_SNAPSHOT_INCOMPLETE',
    `the snapshot folder of tablet ${tablet} lacks ${file}`,
    'Another replica is asked. Look at the disk of this node: a snapshot that its tablet server made is whole.',
  );
}
