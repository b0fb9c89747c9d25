import { defined } from '../../model/defined.ts';
import { forEachBounded } from '../bounded.ts';
import { INDEX_FOLDER } from '../layout.ts';
import type { Cancellable, Store } from '../store.ts';
import { type IndexedObject, ObjectIndex, readIndexObject } from './object-index.ts';

const AT_ONCE = 4;

type Options = Cancellable & { readonly heartbeat?: () => void };

/** Keys of the index objects that name one of these objects, or that can't be read. Reads all of the index. */
export async function indexObjectsNaming(
  store: Store,
  objects: ReadonlySet<string>,
  options: Options = {},
): Promise<readonly string[]> {
  const naming: string[] = [];
  await forEachNaming(store, objects, options, async (key) => {
    naming.push(key);
  });
  return naming;
}

/**
 * Makes the index name none of these objects, so that their bytes are sent again when they are needed. An index object that names one is deleted after its
 * other entries were written into a new one (O2). Throws what the store throws: `STORE_DENIED` where the credentials may not delete.
 */
export async function removeFromIndex(
  store: Store,
  objects: ReadonlySet<string>,
  options: Options = {},
): Promise<void> {
  const cancellable = defined({ signal: options.signal });
  const index = new ObjectIndex(store);
  await forEachNaming(store, objects, options, async (key, others) => {
    if (others.length > 0) await index.write(others, cancellable);
    await store.delete([key], cancellable);
  });
}

/** @param act gets an index object's key, and its entries for other objects */
async function forEachNaming(
  store: Store,
  objects: ReadonlySet<string>,
  options: Options,
  act: (key: string, others: readonly IndexedObject[]) => Promise<void>,
): Promise<void> {
  const cancellable = defined({ signal: options.signal });
  const keys = await Array.fromAsync(store.list(INDEX_FOLDER, cancellable), ({ key }) => key);
  await forEachBounded(keys, AT_ONCE, async (key) => {
    options.heartbeat?.();
    const named = await readIndexObject(store, key, cancellable);
    const others = named?.filter((object) => !objects.has(object.key)) ?? [];
    if (named === undefined || others.length < named.length) await act(key, others);
  });
}
