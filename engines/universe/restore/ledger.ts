import { z } from 'zod';
import { endNotes, haveEnded } from '../../../repository/notes.ts';
import { packJson, unpackJson } from '../../../repository/objects/packed-json.ts';
import { getSealedIfThere, putSealed } from '../../../repository/sealed-object.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { folderOf, type UniverseRestore } from './context.ts';

/*
 * What a restore must remember beyond the life of a worker: what it was about to create, so that a successor recognises it, and what
 * `import_snapshot` printed, which it prints only once. Entries are written once, and are deleted when the restore has ended.
 */

export interface ImportedSnapshot {
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
  /** The database didn't exist before, so what exists now is this restore's. */
  creating: (index: number) => `database-${index}.creating`,
  created: (index: number) => `database-${index}.created`,
  /** The ids of the note are the snapshots that existed before the import. */
  importing: (index: number) => `import-${index}.intent`,
  /** The ids of the note are sentences, one for each other user of the universe that this restore breaks, as was asked for. */
  broken: 'broken',
  /** The id of the note is `on` if the load balancer was on before. */
  balancer: 'balancer',
} as const;

/** The ids of a note; undefined if it was never written, or has ended. */
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

/** Writes a note unless it exists. Returns the ids of the note that counts. */
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

/** Ends the note about the load balancer of a restore that was lost. */
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

/** What an import created; undefined if it was not done, or if what it printed was lost. */
export async function readImported(
  restore: UniverseRestore,
  index: number,
): Promise<ImportedSnapshot | undefined> {
  const { store, signal } = restore;
  const key = importedKey(restore, index);
  if ((await store.head(key, { signal })) === undefined) return undefined;
  return unpackJson(await store.get(key, { signal }), importedSchema, key, store.description);
}

/** Writes down what an import created, once. */
export async function writeImported(
  restore: UniverseRestore,
  index: number,
  imported: ImportedSnapshot,
): Promise<void> {
  const { store, signal } = restore;
  const body = await packJson(imported);
  await store.put(importedKey(restore, index), body, { sha256: sha256Hex(body), ifAbsent: true, signal });
}

/** Ends and deletes everything that the restore wrote down. */
export async function forgetAll(restore: UniverseRestore): Promise<void> {
  const { store, signal } = restore;
  const keys = await Array.fromAsync(store.list(folderOf(restore), { signal }), ({ key }) => key);
  await endNotes(store, folderOf(restore), keys, { signal });
}
