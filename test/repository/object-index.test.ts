import { DirectoryStore } from '../../repository/directory/store.ts';
import { ForwardingStore } from '../../repository/forwarding-store.ts';
import { INDEX_FOLDER, sharedObjectKey } from '../../repository/layout.ts';
import { type IndexedObject, ObjectIndex } from '../../repository/objects/object-index.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Cancellable, GetOptions, ListedObject } from '../../repository/store.ts';
import { folderForEachTest } from '../support/scratch.ts';

const emptyFolder = folderForEachTest('object-index');

/** An object of one byte. */
function objectOf(text: string): IndexedObject {
  const sha256 = sha256Hex(Buffer.from(text));
  const ranges = [{ sha256, offset: 0, sizeBytes: 1 }];
  return { key: sharedObjectKey(sha256), sizeBytes: 1, sha256, ranges };
}

/** A store that does something of the test's before index objects are read, and between a listing of them and its answer. */
class Watched extends ForwardingStore {
  reads = 0;
  beforeRead = async (): Promise<void> => undefined;
  afterListing = async (): Promise<void> => undefined;

  override async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    if (key.startsWith(INDEX_FOLDER)) {
      this.reads += 1;
      await this.beforeRead();
      options.signal?.throwIfAborted();
    }
    return this.store.get(key, options);
  }

  override async *list(prefix: string, options: Cancellable = {}): AsyncGenerator<ListedObject> {
    const found = await Array.fromAsync(this.store.list(prefix, options));
    if (prefix === INDEX_FOLDER) await this.afterListing();
    yield* found;
  }
}

describe('the index of shared objects', () => {
  it('keeps what it has read where a slot writes an index object while another lists them', async () => {
    const store = new Watched(new DirectoryStore(emptyFolder()));
    const index = new ObjectIndex(store);
    await index.write([objectOf('a')]);
    let written = '';
    store.afterListing = async () => {
      written = await index.write([objectOf('b')]);
    };
    await index.refresh();
    expect(index.has(written)).toBe(true);
    for (const text of ['a', 'b']) {
      await expect(index.find(objectOf(text).sha256, 1)).resolves.toMatchObject({ offset: 0 });
    }
    expect(store.reads).toBe(0);
  });

  it('is read for every slot that waits, although the one that asked first is stopped', async () => {
    const raw = new DirectoryStore(emptyFolder());
    await new ObjectIndex(raw).write([objectOf('a')]);
    const store = new Watched(raw);
    const index = new ObjectIndex(store);
    await index.refresh();
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    store.beforeRead = async () => {
      asked.resolve();
      await answered.promise;
    };
    const stop = new AbortController();
    const find = (options: Cancellable) => index.find(objectOf('a').sha256, 1, options);
    const finding = Promise.allSettled([find({ signal: stop.signal }), find({})]);
    await asked.promise;
    stop.abort(new Error('its backup was cancelled'));
    answered.resolve();
    await expect(finding).resolves.toEqual([
      expect.objectContaining({ status: 'rejected', reason: stop.signal.reason }),
      expect.objectContaining({ status: 'fulfilled', value: expect.objectContaining({ offset: 0 }) }),
    ]);
    expect(store.reads).toBe(1);
  });
});
