import { z } from 'zod';
import { endNotes, haveEnded } from '../../../repository/notes.ts';
import { packJson, unpackJson } from '../../../repository/objects/packed-json.ts';
import { getSealedIfThere, putSealed } from '../../../repository/sealed-object.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { folderOf, type UniverseRestore } from './context.ts';

/*
 * What a restore must remember beyond the life of a worker: what it was about to create, so that a successor knows what is its
 * own; and what `import_snapshot` said, which it says once. Entries are written once, and go when the restore has ended.
 */

interface ImportedSnapshot {
  readonly snapshot: string;
  readonly tablets: readonly { readonly from: string; readonly to: string; readonly table: string }[];
}

const importedSchema: z.ZodType<ImportedSnapshot> = z.object({
  snapshot: z.string(),
  tablets: z.array(z.object({ from: z.string(), to: z.string(), table: z.string() })),
});

const noteSchema = z.object({ at: z.string(), ids: z.array(z.string()) });

/** Names of notes. */
export const NOTES = {
  /** The database was not there before, and is ours from now on. */
  creating: (index: number) => `database-${index}.creating`,
  created: (index: number) => `database-${index}.created`,
  /** Ids: the snapshots that were there before the import. */
  importing: (index: number) => `import-${index}.intent`,
  /** Ids: a sentence for each of the others in the universe that this breaks, as asked for. */
  broken: 'broken',
  /** Ids: `on` where the load balancer was on before. */
  balancer: 'balancer',
} as const;

export async function readNote(
  restore: UniverseRestore,
  name: string,
): Promise<readonly string[] | undefined> {
  const { store, signal } = restore;
  const key = `${folderOf(restore)}${name}`;
  const note = await getSealedIfThere(store, `${key}.json`, noteSchema, { signal });
  if (note === undefined || (await haveEnded(store, [key, folderOf(restore)], { signal }))) return undefined;
  return note.ids;
}

/** Writes a note unless it is there; returns what holds. */
export async function writeNote(
  restore: UniverseRestore,
  name: string,
  ids: readonly string[] = [],
): Promise<readonly string[]> {
  const { store, signal } = restore;
  const note = { at: new Date().toISOString(), ids };
  const outcome = await putSealed(store, `${folderOf(restore)}${name}.json`, note, { signal });
  return outcome === 'created' ? ids : ((await readNote(restore, name)) ?? ids);
}

/** Says of a restore that was lost that nothing of it counts any more. */
export async function forgetLost(restore: UniverseRestore): Promise<void> {
  const { store, signal } = restore;
  await endNotes(
    store,
    `${folderOf(restore)}${NOTES.balancer}`,
    [`${folderOf(restore)}${NOTES.balancer}.json`],
    {
      signal,
    },
  );
}

const importedKey = (restore: UniverseRestore, index: number) =>
  `${folderOf(restore)}imported-${index}.json.zst`;

/** Undefined where the import was not done, or what it said was lost. */
export async function readImported(
  restore: UniverseRestore,
  index: number,
): Promise<ImportedSnapshot | undefined> {
  const { store, signal } = restore;
  const key = importedKey(restore, index);
  if ((await store.head(key, { signal })) === undefined) return undefined;
  return unpackJson(await store.get(key, { signal }), importedSchema, key, store.description);
}

export async function writeImported(
  restore: UniverseRestore,
  index: number,
  imported: ImportedSnapshot,
): Promise<void> {
  const { store, signal } = restore;
  const body = await packJson(imported);
  await store.put(importedKey(restore, index), body, { sha256: sha256Hex(body), ifAbsent: true, signal });
}

export async function forgetAll(restore: UniverseRestore): Promise<void> {
  const { store, signal } = restore;
  const keys = await Array.fromAsync(store.list(folderOf(restore), { signal }), ({ key }) => key);
  await endNotes(store, folderOf(restore), keys, { signal });
}
