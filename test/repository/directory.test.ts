import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { itKeepsTheContractOfAStore } from '../contract/store.ts';

const TEMPORARY = '.holdfast-tmp';
const body = Buffer.from('body');
const creating = { sha256: sha256Hex(body), ifAbsent: true };

describe('the directory store', () => {
  let scratch: ScratchFolder;
  let root: string;
  let store: DirectoryStore;
  beforeAll(async () => {
    scratch = await createScratchFolder('directory-store');
  });
  afterAll(() => scratch.remove());
  let count = 0;
  beforeEach(() => {
    root = path.join(scratch.path, `root-${++count}`);
    store = new DirectoryStore(root, { retry: { attempts: 1, baseDelayMs: 1, maxDelayMs: 1 } });
  });

  describe('keeps the contract and', () => {
    beforeEach(() => mkdir(root));
    itKeepsTheContractOfAStore(() => ({
      store,
      overwriteBehind: (key, bytes) => writeFile(path.join(root, key), bytes),
    }));
  });

  it('leaves no temporary file and no empty folder behind', async () => {
    await store.put('deep/er/object', body, creating);
    await store.put('deep/er/object', body, creating);
    await expect(readdir(path.join(root, TEMPORARY))).resolves.toEqual([]);
    await store.delete(['deep/er/object']);
    await expect(readdir(root)).resolves.toEqual([TEMPORARY]);
  });

  it('creates the directory, but not the one above it, which may be a mount that is missing', async () => {
    await expect(store.put('object', body, creating)).resolves.toBe('created');
    const astray = new DirectoryStore(path.join(root, 'missing', 'repository'));
    await expect(astray.put('object', body, creating)).rejects.toMatchObject({
      code: 'STORE_NO_DIRECTORY',
      transient: false,
    });
  });

  it.each([
    ['get', (missing: DirectoryStore) => missing.get('object')],
    ['head', (missing: DirectoryStore) => missing.head('object')],
    ['list', (missing: DirectoryStore) => Array.fromAsync(missing.list(''))],
    ['delete', (missing: DirectoryStore) => missing.delete(['object'])],
  ])('tells on %s that the directory is not there, instead of that it is empty', async (_, call) => {
    await expect(call(store)).rejects.toMatchObject({ code: 'STORE_NO_DIRECTORY', transient: false });
  });

  it('follows no symbolic link out of the directory', async () => {
    const outside = path.join(scratch.path, `outside-${count}`);
    await mkdir(outside);
    await writeFile(path.join(outside, 'secret'), 'secret');
    await mkdir(root);
    await symlink(outside, path.join(root, 'folder'));
    await symlink(path.join(outside, 'secret'), path.join(root, 'file'));
    const refused = { code: 'STORE_SYMBOLIC_LINK', transient: false };
    await expect(store.get('folder/secret')).rejects.toMatchObject(refused);
    await expect(store.get('file')).rejects.toMatchObject(refused);
    await expect(store.head('file')).rejects.toMatchObject(refused);
    await expect(store.put('folder/new', body, creating)).rejects.toMatchObject(refused);
    await expect(store.put('folder/new/deeper', body, creating)).rejects.toMatchObject(refused);
    await expect(store.put('file', body, creating)).rejects.toMatchObject(refused);
    await expect(store.delete(['folder/secret'])).rejects.toMatchObject(refused);
    await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject(refused);
    await expect(readFile(path.join(outside, 'secret'), 'utf8')).resolves.toBe('secret');
    await expect(readdir(outside)).resolves.toEqual(['secret']);
  });

  it('lists nothing that no key can name, so that a prune doesn’t end at it', async () => {
    await store.put('plans/object', body, creating);
    await mkdir(path.join(root, 'plans', 'back\\slash'));
    await writeFile(path.join(root, 'plans', 'back\\slash', 'file'), 'x');
    await writeFile(path.join(root, 'plans', 'line\nbreak'), 'x');
    const keys = await Array.fromAsync(store.list(''), ({ key }) => key);
    expect(keys).toEqual(['plans/object']);
    await expect(Array.fromAsync(store.folders('plans/'))).resolves.toEqual([]);
  });

  it('may itself be reached by a symbolic link', async () => {
    await mkdir(root);
    const link = path.join(scratch.path, `link-${count}`);
    await symlink(root, link);
    const linked = new DirectoryStore(link);
    await linked.put('object', body, creating);
    await expect(linked.get('object')).resolves.toEqual(body);
  });

  it('does not list temporary files, and discards them once they are old', async () => {
    await store.put('object', body, creating);
    const young = path.join(root, TEMPORARY, 'young');
    const old = path.join(root, TEMPORARY, 'old');
    await Promise.all([young, old].map((file) => writeFile(file, 'half')));
    const hourAgo = new Date(Date.now() - 3_600_000);
    await utimes(old, hourAgo, hourAgo);
    await expect(Array.fromAsync(store.list(''))).resolves.toMatchObject([{ key: 'object' }]);
    await expect(Array.fromAsync(store.folders(''))).resolves.toEqual([]);
    await expect(store.discardUnfinished({ olderThanMs: 1_800_000 })).resolves.toBe(1);
    await expect(readdir(path.join(root, TEMPORARY))).resolves.toEqual(['young']);
  });

  it('shows whole objects only after a kill -9 in the midst of writing', async () => {
    await mkdir(root);
    const writer = spawn(process.execPath, [path.join(__dirname, 'endless-writer.ts'), root], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // Several objects are through, and more are on their way.
    let lines = 0;
    for await (const chunk of writer.stdout) {
      lines += String(chunk).split('\n').length - 1;
      if (lines >= 5) break;
    }
    const closed = once(writer, 'close');
    writer.kill('SIGKILL');
    await closed;
    const objects = await Array.fromAsync(store.list('objects/'));
    expect(objects.length).toBeGreaterThanOrEqual(5);
    for (const { key } of objects) {
      // The writer names each object by its hash.
      expect(sha256Hex(await store.get(key))).toBe(path.basename(key));
    }
    await store.discardUnfinished({ olderThanMs: -60_000 });
    await expect(readdir(path.join(root, TEMPORARY))).resolves.toEqual([]);
  });

  it('tells that it may not write', async () => {
    // Nobody, root neither, makes a folder here.
    const readOnly = new DirectoryStore('/sys/kernel');
    await expect(readOnly.put('object', body, creating)).rejects.toMatchObject({
      code: 'STORE_DENIED',
      transient: false,
      message: expect.stringContaining('/sys/kernel'),
    });
  });

  // A small file system of its own needs user namespaces, which some machines forbid.
  const canMount = spawnSync('unshare', ['-rm', 'true']).status === 0;
  (canMount ? it : it.skip)('tells a full disk, and leaves room for smaller objects', async () => {
    await mkdir(root);
    const script = `mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" "$3" "$1"`;
    const writer = path.join(__dirname, 'full-disk-writer.ts');
    const ran = spawnSync('unshare', ['-rm', 'sh', '-c', script, 'sh', root, process.execPath, writer], {
      encoding: 'utf8',
    });
    expect(ran.stderr).toBe('');
    expect(JSON.parse(ran.stdout)).toEqual({
      large: { code: 'STORE_FULL', transient: false },
      small: 'created',
      temporaryFiles: 0,
    });
  });

  describe('lets', () => {
    let umask: number;
    beforeEach(() => {
      // That of most systems: what is not said otherwise, everybody may read.
      umask = process.umask(0o022);
    });
    afterEach(() => process.umask(umask));

    /** What stands below the root, the root itself as an empty name, each with its permissions in octal. */
    const permissions = async (): Promise<Record<string, string>> => {
      const names = ['', ...(await readdir(root, { recursive: true }))];
      const found = names.map(async (name) => {
        const { mode } = await stat(path.join(root, name));
        return [name, (mode & 0o7777).toString(8)] as const;
      });
      return Object.fromEntries(await Promise.all(found));
    };

    it.each([
      ['nobody else read it, unless it is told so', undefined, '700', '600'],
      ['its group read it', 'read', '750', '640'],
      ['its group write into it', 'write', '770', '660'],
    ] as const)('%s', async (_, groupAccess, folder, file) => {
      store = new DirectoryStore(root, groupAccess === undefined ? {} : { groupAccess });
      await store.put('deep/er/once', body, creating);
      await store.put('deep/er/again', body, { ...creating, ifAbsent: false });
      await expect(permissions()).resolves.toEqual({
        '': folder,
        [TEMPORARY]: folder,
        deep: folder,
        'deep/er': folder,
        'deep/er/once': file,
        'deep/er/again': file,
      });
    });

    it('folders keep the group of the one above, where that hands it on', async () => {
      await mkdir(root);
      await chmod(root, 0o2770);
      await new DirectoryStore(root, { groupAccess: 'write' }).put('deep/once', body, creating);
      await expect(permissions()).resolves.toMatchObject({ '': '2770', deep: '2770', 'deep/once': '660' });
    });

    it('what an earlier version wrote be read and added to, and leaves its permissions as they are', async () => {
      await mkdir(path.join(root, 'old'), { recursive: true });
      await writeFile(path.join(root, 'old/object'), body);
      await expect(store.get('old/object')).resolves.toEqual(body);
      await store.put('old/new', body, creating);
      await expect(permissions()).resolves.toMatchObject({
        '': '755',
        old: '755',
        'old/object': '644',
        'old/new': '600',
      });
    });
  });

  it('says that an object exists only once its name is on the disk, after a sync of its folder that failed too', async () => {
    await mkdir(root);
    const retrying = new DirectoryStore(root, { retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 1 } });
    await retrying.put('folder/before', body, creating);
    const handle = await open(root);
    const files: { sync(this: FileHandle): Promise<void> } = Object.getPrototypeOf(handle);
    const sync = files.sync;
    const outcomes: string[] = [];
    const spy = jest.spyOn(files, 'sync').mockImplementation(async function (this: FileHandle) {
      if (!(await this.stat()).isDirectory()) return sync.call(this);
      if (outcomes.push(outcomes.length === 0 ? 'EIO' : 'synced') > 1) return sync.call(this);
      throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', syscall: 'fsync' });
    });
    try {
      await expect(retrying.put('folder/object', body, creating)).resolves.toBe('exists');
    } finally {
      spy.mockRestore();
      await handle.close();
    }
    expect(outcomes).toEqual(['EIO', 'synced']);
  });

  it('tells a file in the way of a folder', async () => {
    await store.put('file', body, creating);
    await expect(store.put('file/below', body, creating)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
    await expect(store.head('file/below')).resolves.toBeUndefined();
  });
});
