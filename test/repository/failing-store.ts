import { transient } from '../../model/errors.ts';
import type { Store } from '../../repository/store.ts';

/** Whether the operation at which a writer crashes takes effect: a lost answer looks like a failure. */
export type CrashKind = 'before' | 'performed';

/**
 * A store as a writer sees it that dies, or loses its network, at operation `crashAt` (the first is 1): that one fails, before
 * or after it took effect, and so does every later one.
 */
export function crashingAt(inner: Store, crashAt: number, kind: CrashKind): Store {
  let operations = 0;
  return intercepted(inner, async (perform) => {
    operations++;
    if (operations === crashAt && kind === 'performed') await perform();
    if (operations >= crashAt) throw gone();
    return perform();
  });
}

/** A store as a writer sees it that stands still at operation `pauseAt` until `resume` resolves, and then goes on. */
export function pausingAt(inner: Store, pauseAt: number, paused: () => void, resume: Promise<void>): Store {
  let operations = 0;
  return intercepted(inner, async (perform) => {
    operations++;
    if (operations === pauseAt) {
      paused();
      await resume;
    }
    return perform();
  });
}

type Around = <T>(perform: () => Promise<T>) => Promise<T>;

function intercepted(inner: Store, around: Around): Store {
  return {
    description: inner.description,
    put: (key, body, options) => around(() => inner.put(key, body, options)),
    get: (key, options) => around(() => inner.get(key, options)),
    head: (key, options) => around(() => inner.head(key, options)),
    list: (prefix, options) => listed(around, () => inner.list(prefix, options)),
    folders: (folder, options) => listed(around, () => inner.folders(folder, options)),
    delete: (keys, options) => around(() => inner.delete(keys, options)),
    discardUnfinished: (options) => around(() => inner.discardUnfinished(options)),
    close: () => inner.close(),
  };
}

async function* listed<T>(around: Around, list: () => AsyncIterable<T>): AsyncGenerator<T> {
  yield* await around(() => Array.fromAsync(list()));
}

function gone() {
  return transient('STORE_UNREACHABLE', 'The writer has crashed.', 'None: this is a test.');
}
