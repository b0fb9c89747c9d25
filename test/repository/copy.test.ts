import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { findManifest, readStoredManifest } from '../../repository/backups/manifest.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { copyBackup } from '../../repository/copy.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder, manifestKey } from '../../repository/layout.ts';
import type { Store } from '../../repository/store.ts';
import { crashingAt } from './failing-store.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';

describe('a copy into a second repository', () => {
  let scratch: ScratchFolder;
  let from: Store;
  let to: Store;
  let roots = 0;
  let fromRoot: string;
  let toRoot: string;

  beforeAll(async () => {
    scratch = await createScratchFolder('copy');
  });
  afterAll(() => scratch.remove());
  beforeEach(async () => {
    fromRoot = await emptyRoot();
    toRoot = await emptyRoot();
    from = new DirectoryStore(fromRoot);
    to = new DirectoryStore(toRoot);
    await writeSampleBackup(from);
  });

  async function emptyRoot(): Promise<string> {
    const root = path.join(scratch.path, String(++roots));
    await mkdir(root);
    return root;
  }

  const listed = async (store: Store) =>
    (
      await Array.fromAsync(store.list(backupFolder(SAMPLE)), ({ key, sizeBytes }) => ({ key, sizeBytes }))
    ).sort((one, other) => (one.key < other.key ? -1 : 1));

  it('is the same backup, byte for byte, and again nothing is sent', async () => {
    const { sha256 } = await readStoredManifest(from, SAMPLE);
    const copied = await copyBackup(from, to, SAMPLE);
    expect(copied).toMatchObject({ manifestSha256: sha256, copiedObjects: (await listed(from)).length - 1 });
    await expect(listed(to)).resolves.toEqual(await listed(from));
    await expect(verifyBackup(to, SAMPLE, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    await expect(copyBackup(from, to, SAMPLE)).resolves.toMatchObject({ copiedObjects: 0, copiedBytes: 0 });
  });

  it('that was cut off at any operation is no backup yet, and goes on without sending again what is there', async () => {
    const whole = (await listed(from)).length - 1;
    for (let crashAt = 1; ; crashAt++) {
      const target = new DirectoryStore(await emptyRoot());
      const finishedAtOnce = await copyBackup(from, crashingAt(target, crashAt, 'performed'), SAMPLE, {
        concurrency: 2,
      }).then(
        () => true,
        () => false,
      );
      const there = (await listed(target)).filter(({ key }) => key !== manifestKey(SAMPLE)).length;
      const finished = (await findManifest(target, SAMPLE)) !== undefined;
      if (finished) expect(there).toBe(whole);
      const { copiedObjects } = await copyBackup(from, target, SAMPLE);
      expect(copiedObjects).toBe(whole - there);
      await expect(verifyBackup(target, SAMPLE, 'content')).resolves.toMatchObject({ verdict: 'OK' });
      if (finishedAtOnce) return;
    }
  });

  it('replaces what is damaged at the target', async () => {
    const [object] = await listed(from);
    if (object === undefined) throw new Error('the sample has no object');
    await mkdir(path.dirname(path.join(toRoot, object.key)), { recursive: true });
    await writeFile(path.join(toRoot, object.key), Buffer.alloc(object.sizeBytes));
    await copyBackup(from, to, SAMPLE);
    await expect(verifyBackup(to, SAMPLE, 'content')).resolves.toMatchObject({ verdict: 'OK' });
  });

  it('is not made of a damaged backup', async () => {
    const damaged = (await listed(from)).find(({ key }) => key.includes('/data/'));
    if (damaged === undefined) throw new Error('the sample has no data');
    await writeFile(path.join(fromRoot, damaged.key), Buffer.alloc(damaged.sizeBytes));
    const copy = copyBackup(from, to, SAMPLE);
    await expect(copy).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(copy).rejects.toThrow(damaged.key);
    await expect(findManifest(to, SAMPLE)).resolves.toBeUndefined();
  });

  it('does not take the place of another backup of the same name', async () => {
    await writeSampleBackup(to, { epoch: 1, chunks: 2 });
    const before = await listed(to);
    await expect(copyBackup(from, to, SAMPLE)).rejects.toMatchObject({ code: 'COPY_CONFLICT' });
    await expect(listed(to)).resolves.toEqual(before);
  });
});
