import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { DataObject } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { readDataObjects, readManifest } from '../../repository/backups/manifest.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { manifestKey } from '../../repository/layout.ts';
import { readTabletList, writeTabletList } from '../../repository/objects/tablet-lists.ts';
import { replaceSealed } from '../../repository/sealed-object.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';
import { sampleTablets, writeTabletBackup } from './sample-tablets.ts';

/** A manifest is sealed and its objects are sound; what it says of them is not. */
let scratch: ScratchFolder;
let count = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('manifest-sums');
});
afterAll(() => scratch.remove());

async function emptyStore(): Promise<DirectoryStore> {
  count += 1;
  const folder = path.join(scratch.path, `store-${count}`);
  await mkdir(folder);
  return new DirectoryStore(folder);
}

const withObjects = (manifest: Manifest, inline: readonly DataObject[]): Manifest => ({
  ...manifest,
  data: { inline },
});

type Change = (manifest: Manifest, objects: readonly DataObject[]) => Manifest;

const CHANGES: readonly (readonly [string, Change])[] = [
  ['an object left out', (manifest, objects) => withObjects(manifest, objects.slice(1))],
  ['an object doubled', (manifest, objects) => withObjects(manifest, [...objects, ...objects.slice(0, 1)])],
  [
    'the tables of two objects exchanged',
    (manifest, all) => {
      const objects = [...all];
      const one = objects.findIndex(({ table }) => table.table === 'orders');
      const other = objects.findIndex(({ table }) => table.table === 'order lines');
      const [a, b] = [objects[one], objects[other]];
      if (a === undefined || b === undefined) throw new Error('the sample has no such objects');
      objects[one] = { ...a, table: b.table };
      objects[other] = { ...b, table: a.table };
      return withObjects(manifest, objects);
    },
  ],
  [
    'a total that is another',
    (manifest) => ({ ...manifest, totals: { ...manifest.totals, rows: manifest.totals.rows + 1 } }),
  ],
];

it.each(CHANGES)('content is refused with %s', async (_what, change) => {
  const store = await emptyStore();
  await writeSampleBackup(store);
  expect((await verifyBackup(store, SAMPLE, 'content')).problems).toEqual([]);
  const manifest = await readManifest(store, SAMPLE);
  await replaceSealed(
    store,
    manifestKey(SAMPLE),
    change(manifest, await Array.fromAsync(readDataObjects(store, manifest))),
  );
  const { verdict, problems } = await verifyBackup(store, SAMPLE, 'content');
  expect({ verdict, some: problems.length > 0 }).toEqual({ verdict: 'FAILED', some: true });
});

describe('of tablets, content is refused', () => {
  const change = async (
    of: (list: Awaited<ReturnType<typeof readTabletList>>) => Awaited<ReturnType<typeof readTabletList>>,
  ) => {
    const store = await emptyStore();
    const { manifest } = await writeTabletBackup(store, SAMPLE, sampleTablets(3, 'sums'));
    expect((await verifyBackup(store, SAMPLE, 'content')).problems).toEqual([]);
    const [entry, ...others] = manifest.tablets?.lists ?? [];
    if (entry === undefined || manifest.tablets === undefined) throw new Error('the sample has no list');
    const list = of(await readTabletList(store, SAMPLE, entry));
    const lists = [await writeTabletList(store, SAMPLE, 90, list), ...others];
    await replaceSealed(store, manifestKey(SAMPLE), { ...manifest, tablets: { ...manifest.tablets, lists } });
    return await verifyBackup(store, SAMPLE, 'content');
  };

  it('with a tablet left out', async () => {
    const { verdict } = await change((list) => ({ ...list, tablets: list.tablets.slice(1) }));
    expect(verdict).toBe('FAILED');
  });

  it('with a tablet doubled', async () => {
    const { verdict, problems } = await change((list) => ({
      ...list,
      tablets: [...list.tablets, ...list.tablets.slice(0, 1)],
    }));
    expect(verdict).toBe('FAILED');
    expect(problems.join(' ')).toContain('twice');
  });

  it.each(['../escaped', '/etc/escaped', 'a/../../escaped'])(
    'with a file that is called %s',
    async (name) => {
      const { verdict, problems } = await change((list) => ({
        ...list,
        tablets: list.tablets.map((tablet) => ({
          ...tablet,
          files: tablet.files.map((file) => ({ ...file, path: name })),
        })),
      }));
      expect(verdict).toBe('FAILED');
      expect(problems.join(' ')).toContain('escaped');
    },
  );
});
