import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder, isWork, manifestKey, taskResultName, workListName } from '../../repository/layout.ts';
import { RememberingStore } from '../../repository/remembering.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { folderForEachTest } from '../support/scratch.ts';

const LIMIT_BYTES = 1000;

describe('a store that remembers', () => {
  const emptyFolder = folderForEachTest('remembering-store');
  let root: string;
  let store: RememberingStore;
  beforeEach(() => {
    root = emptyFolder();
    store = new RememberingStore(new DirectoryStore(root), {
      remembers: (key) => key.startsWith('mine/'),
      limitBytes: LIMIT_BYTES,
    });
  });

  const put = (key: string, text: string, ifAbsent = true) =>
    store.put(key, Buffer.from(text), { sha256: sha256Hex(Buffer.from(text)), ifAbsent });
  const textOf = async (key: string, options = {}) => Buffer.from(await store.get(key, options)).toString();
  /** So that only memory can answer. */
  const loseBehind = (key: string) => rm(path.join(root, key));
  const notFound = { code: 'STORE_NOT_FOUND' };

  it('answers from memory what it wrote, and nothing else', async () => {
    await put('mine/a', 'abc');
    await put('other', 'abc');
    await loseBehind('mine/a');
    await loseBehind('other');
    await expect(textOf('mine/a')).resolves.toBe('abc');
    await expect(textOf('other')).rejects.toMatchObject(notFound);
  });

  it('keeps the bytes of then when the writer uses its memory again', async () => {
    const body = Buffer.from('abc');
    await store.put('mine/a', body, { sha256: sha256Hex(body), ifAbsent: true });
    body.fill('x');
    (await store.get('mine/a')).fill(0);
    await expect(textOf('mine/a')).resolves.toBe('abc');
  });

  it('does not take for its own what another had written before', async () => {
    await mkdir(path.join(root, 'mine'));
    await writeFile(path.join(root, 'mine/a'), 'other');
    await expect(put('mine/a', 'abc')).resolves.toBe('exists');
    await expect(textOf('mine/a')).resolves.toBe('other');
  });

  it('remembers the last of what it put in one place, and forgets what it deleted', async () => {
    await put('mine/a', 'abc');
    await put('mine/a', 'def', false);
    await expect(textOf('mine/a')).resolves.toBe('def');
    await store.delete(['mine/a']);
    await expect(textOf('mine/a')).rejects.toMatchObject(notFound);
  });

  it('asks the store for ranges, and where something else is expected than it wrote', async () => {
    await put('mine/a', 'abc');
    await expect(textOf('mine/a', { range: { start: 1, end: 2 } })).resolves.toBe('b');
    const expect_ = (text: string) => ({
      expect: { sizeBytes: text.length, sha256: sha256Hex(Buffer.from(text)) },
    });
    await writeFile(path.join(root, 'mine/a'), 'new');
    await expect(textOf('mine/a', expect_('abc'))).resolves.toBe('abc');
    await expect(textOf('mine/a', expect_('new'))).resolves.toBe('new');
    await expect(textOf('mine/a', expect_('old'))).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
  });

  it('forgets the oldest when there is too much, and keeps nothing that is too large alone', async () => {
    const half = 'x'.repeat(LIMIT_BYTES / 2);
    for (const name of ['a', 'b', 'c']) await put(`mine/${name}`, half);
    for (const name of ['a', 'b', 'c']) await loseBehind(`mine/${name}`);
    await expect(textOf('mine/a')).rejects.toMatchObject(notFound);
    await expect(textOf('mine/b')).resolves.toBe(half);
    await expect(textOf('mine/c')).resolves.toBe(half);
    await put('mine/large', 'x'.repeat(LIMIT_BYTES + 1));
    await loseBehind('mine/large');
    await expect(textOf('mine/large')).rejects.toMatchObject(notFound);
  });

  it('is told by the layout which objects are work', () => {
    const ref = { plan: 'work', backup: '20260101T000000Z-000000' };
    expect(isWork(backupFolder(ref) + workListName(1))).toBe(true);
    expect(isWork(backupFolder(ref) + taskResultName(1, 2))).toBe(true);
    expect(isWork(manifestKey(ref))).toBe(false);
    expect(isWork(`${backupFolder(ref)}data/work`)).toBe(false);
  });
});
