import { randomBytes } from 'node:crypto';
import { sha256Hex } from '../../repository/sha256.ts';
import type { ListedObject, Store } from '../../repository/store.ts';

/** One store under test, empty at first; each test works under a prefix of its own. */
export interface StoreUnderTest {
  readonly store: Store;
  /** Damages the stored bytes behind the store's back. */
  overwriteBehind(key: string, bytes: Uint8Array): Promise<void>;
}

/** What every store must do, whatever it is made of: the contract in `repository/store.ts`. */
export function itKeepsTheContractOfAStore(open: () => StoreUnderTest): void {
  let folder = 0;
  let prefix = '';
  let store: Store;
  beforeEach(() => {
    store = open().store;
    folder++;
    prefix = `contract/${folder}/`;
  });

  const put = (name: string, body: Uint8Array | string, ifAbsent = true) => {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    return store.put(prefix + name, bytes, { sha256: sha256Hex(bytes), ifAbsent });
  };
  const textOf = async (name: string) => Buffer.from(await store.get(prefix + name)).toString();
  const listed = async (listPrefix: string): Promise<ListedObject[]> =>
    Array.fromAsync(store.list(listPrefix));
  const keys = async (listPrefix: string) => (await listed(listPrefix)).map(({ key }) => key).sort();

  describe('put', () => {
    it('stores the bytes, empty ones too', async () => {
      await expect(put('some', 'abc')).resolves.toBe('created');
      await expect(put('none', '')).resolves.toBe('created');
      await expect(textOf('some')).resolves.toBe('abc');
      await expect(textOf('none')).resolves.toBe('');
    });

    it('leaves an object alone that is there already, when asked to write only what is absent', async () => {
      await put('once', 'first');
      await expect(put('once', 'second')).resolves.toBe('exists');
      await expect(textOf('once')).resolves.toBe('first');
    });

    it('leaves a large object alone that is there already', async () => {
      const large = randomBytes(12 * 1024 * 1024);
      await put('large', large);
      await expect(put('large', randomBytes(12 * 1024 * 1024))).resolves.toBe('exists');
      await expect(store.head(`${prefix}large`, { checksum: true })).resolves.toEqual({
        sizeBytes: large.length,
        sha256: sha256Hex(large),
      });
    });

    it('replaces an object otherwise', async () => {
      await put('again', 'first');
      await expect(put('again', 'second', false)).resolves.toBe('created');
      await expect(textOf('again')).resolves.toBe('second');
    });

    it('lets exactly one of many writers at once create an object', async () => {
      const bodies = Array.from({ length: 12 }, (_, writer) => `writer ${writer} ${'x'.repeat(50_000)}`);
      const outcomes = await Promise.all(bodies.map((body) => put('contended', body)));
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
      await expect(textOf('contended')).resolves.toBe(bodies[outcomes.indexOf('created')]);
    });

    it('refuses bytes that do not have the announced SHA-256, and stores nothing', async () => {
      const wrong = store.put(`${prefix}wrong`, Buffer.from('abc'), {
        sha256: sha256Hex(Buffer.from('abd')),
        ifAbsent: true,
      });
      await expect(wrong).rejects.toMatchObject({ code: 'STORE_CHECKSUM_MISMATCH', transient: false });
      await expect(store.head(`${prefix}wrong`)).resolves.toBeUndefined();
    });

    it('takes a part of a larger buffer as the body', async () => {
      const whole = Buffer.from('before|body|after');
      await put('view', whole.subarray(7, 11));
      await expect(textOf('view')).resolves.toBe('body');
    });
  });

  describe('get', () => {
    it('returns a range, and leaves out what lies beyond the end', async () => {
      await put('range', '0123456789');
      const range = async (start: number, end: number) =>
        Buffer.from(await store.get(`${prefix}range`, { range: { start, end } })).toString();
      await expect(range(2, 5)).resolves.toBe('234');
      await expect(range(8, 99)).resolves.toBe('89');
      await expect(range(10, 12)).resolves.toBe('');
    });

    it('tells that an object is not there', async () => {
      const missing = store.get(`${prefix}missing`);
      await expect(missing).rejects.toMatchObject({ code: 'STORE_NOT_FOUND', transient: false });
      await expect(missing).rejects.toThrow(`${prefix}missing`);
    });

    it('returns bytes that are as expected', async () => {
      const expected = Buffer.from('expected');
      await put('expected', expected);
      const expect_ = { sizeBytes: expected.length, sha256: sha256Hex(expected) };
      await expect(store.get(`${prefix}expected`, { expect: expect_ })).resolves.toEqual(expected);
    });

    it.each([
      ['a flipped byte', 'expecteD', 'its SHA-256 is'],
      ['a missing byte', 'expecte', 'it has 7 bytes instead of 8'],
      ['a byte too many', 'expected!', 'it has 9 bytes instead of 8'],
    ])('tells %s at rest', async (_, atRest, difference) => {
      const expected = Buffer.from('expected');
      await put('damaged', expected);
      await open().overwriteBehind(`${prefix}damaged`, Buffer.from(atRest));
      const damaged = store.get(`${prefix}damaged`, {
        expect: { sizeBytes: expected.length, sha256: sha256Hex(expected) },
      });
      await expect(damaged).rejects.toMatchObject({ code: 'STORE_DAMAGED', transient: false });
      await expect(damaged).rejects.toThrow(difference);
      await expect(damaged).rejects.toThrow(`${prefix}damaged`);
    });
  });

  describe('get of an object in whose place lies a huge one', () => {
    it('tells it, and takes no memory for it', async () => {
      const expected = Buffer.from('expected');
      await put('swollen', expected);
      await open().overwriteBehind(`${prefix}swollen`, Buffer.alloc(300_000));
      const asked: number[] = [];
      const memory = (bytes: number): Uint8Array => {
        asked.push(bytes);
        return new Uint8Array(bytes);
      };
      const expect_ = { sizeBytes: expected.length, sha256: sha256Hex(expected) };
      await expect(store.get(`${prefix}swollen`, { expect: expect_, memory })).rejects.toMatchObject({
        code: 'STORE_DAMAGED',
        transient: false,
        message: expect.stringContaining(`${prefix}swollen`),
      });
      expect(asked).toEqual([]);
    });
  });

  describe('head', () => {
    it('tells size and checksum', async () => {
      const body = Buffer.from('some bytes');
      await put('head', body);
      await expect(store.head(`${prefix}head`)).resolves.toMatchObject({ sizeBytes: body.length });
      await expect(store.head(`${prefix}head`, { checksum: true })).resolves.toEqual({
        sizeBytes: body.length,
        sha256: sha256Hex(body),
      });
    });

    it('is undefined where there is no object, be there a folder of that name', async () => {
      await put('folder/object', 'x');
      await expect(store.head(`${prefix}absent`)).resolves.toBeUndefined();
      await expect(store.head(`${prefix}folder`)).resolves.toBeUndefined();
    });
  });

  describe('list', () => {
    it('gives every object whose key starts with the prefix, with its size and time', async () => {
      const before = Date.now();
      for (const name of ['a/one', 'a/two/three', 'ab', 'b/four']) await put(name, name);
      await expect(keys(prefix)).resolves.toEqual(
        ['a/one', 'a/two/three', 'ab', 'b/four'].map((name) => prefix + name),
      );
      await expect(keys(`${prefix}a/`)).resolves.toEqual([`${prefix}a/one`, `${prefix}a/two/three`]);
      await expect(keys(`${prefix}a`)).resolves.toEqual([
        `${prefix}a/one`,
        `${prefix}a/two/three`,
        `${prefix}ab`,
      ]);
      await expect(keys(`${prefix}nothing/`)).resolves.toEqual([]);
      const [four] = await listed(`${prefix}b/`);
      expect(four).toMatchObject({ key: `${prefix}b/four`, sizeBytes: 'b/four'.length });
      // Stores keep times in whole seconds.
      expect(four?.modifiedAt.getTime()).toBeGreaterThanOrEqual(before - 1000);
    });

    it('names the folders directly under a folder', async () => {
      for (const name of ['x/one', 'x/two', 'y/deep/three', 'file']) await put(name, name);
      const folders = async (under: string) => (await Array.fromAsync(store.folders(under))).sort();
      await expect(folders(prefix)).resolves.toEqual(['x', 'y']);
      await expect(folders(`${prefix}y/`)).resolves.toEqual(['deep']);
      await expect(folders(`${prefix}nothing/`)).resolves.toEqual([]);
    });
  });

  describe('delete', () => {
    it('removes objects, and takes one that is not there for removed', async () => {
      for (const name of ['gone/1', 'gone/2', 'kept']) await put(name, 'x');
      await store.delete(['gone/1', 'gone/2', 'never/was'].map((name) => prefix + name));
      await expect(keys(prefix)).resolves.toEqual([`${prefix}kept`]);
      await expect(put('gone/1', 'new')).resolves.toBe('created');
    });

    it('does nothing when given nothing', async () => {
      await expect(store.delete([])).resolves.toBeUndefined();
    });
  });

  describe('keys', () => {
    it.each([
      'spaces and +plus',
      '%2F%20 percent',
      'ümläut-日本語-😀',
      `quotes'"<>&`,
      '#?=;:,@!$()*[]{}|^~`',
      '-dash',
      '.dot',
      'trailing.',
      '..two dots',
    ])('may hold odd characters: %s', async (name) => {
      await put(`odd/${name}`, name);
      await expect(textOf(`odd/${name}`)).resolves.toBe(name);
      await expect(store.head(`${prefix}odd/${name}`)).resolves.toMatchObject({
        sizeBytes: Buffer.byteLength(name),
      });
      await expect(keys(`${prefix}odd/`)).resolves.toEqual([`${prefix}odd/${name}`]);
      await store.delete([`${prefix}odd/${name}`]);
      await expect(keys(`${prefix}odd/`)).resolves.toEqual([]);
    });

    it.each([
      ['nothing', ''],
      ['a leading slash', '/absolute'],
      ['a trailing slash', 'trailing/'],
      ['two slashes', 'two//slashes'],
      ['a dot', '.'],
      ['a dot as a part', './here'],
      ['two dots as a part', 'a/../../outside'],
      ['two dots', '..'],
      ['a backslash', 'back\\slash'],
      ['a NUL', 'nul\u0000'],
      ['a line break', 'line\nbreak'],
      ['half a surrogate pair', '\ud800'],
      ['a part of more than 255 bytes', 'x'.repeat(256)],
      ['more than 800 bytes', `${'y/'.repeat(500)}z`],
      ["the store's own folder", '.holdfast-tmp/x'],
    ])('are refused where they are not safe: %s', async (_, key) => {
      const refused = { code: 'STORE_BAD_KEY', transient: false };
      const options = { sha256: sha256Hex(Buffer.alloc(0)), ifAbsent: true };
      await expect(store.put(key, Buffer.alloc(0), options)).rejects.toMatchObject(refused);
      await expect(store.get(key)).rejects.toMatchObject(refused);
      await expect(store.head(key)).rejects.toMatchObject(refused);
      await expect(store.delete([key])).rejects.toMatchObject(refused);
    });
  });

  describe('an aborted call', () => {
    it('throws the reason of the abort', async () => {
      await put('abort', 'x');
      const reason = new Error('the worker shuts down');
      const signal = AbortSignal.abort(reason);
      const body = Buffer.from('y');
      await expect(store.get(`${prefix}abort`, { signal })).rejects.toBe(reason);
      await expect(store.head(`${prefix}abort`, { signal })).rejects.toBe(reason);
      await expect(
        store.put(`${prefix}other`, body, { sha256: sha256Hex(body), ifAbsent: true, signal }),
      ).rejects.toBe(reason);
      await expect(Array.fromAsync(store.list(prefix, { signal }))).rejects.toBe(reason);
      await expect(store.head(`${prefix}other`)).resolves.toBeUndefined();
    });
  });
}
