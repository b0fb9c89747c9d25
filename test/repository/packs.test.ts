import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PackWriter, packsOfBackup } from '../../engines/pack-writer.ts';
import { fetchGroupsAhead } from '../../engines/threads/fetch-ahead.ts';
import { type DataObject, dataObjectName } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { readData, runsOf } from '../../repository/backups/data-pieces.ts';
import { readDataObjects, readManifest, readNamedObjects } from '../../repository/backups/manifest.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { writeManifest } from '../../repository/backups/write-manifest.ts';
import { copyBackup } from '../../repository/copy.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder, manifestKey } from '../../repository/layout.ts';
import { deleteBackup } from '../../repository/retention/delete-backup.ts';
import { sweepBackup } from '../../repository/retention/sweep.ts';
import { replaceSealed } from '../../repository/sealed-object.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { backupSide, newPeople, type People, restoreSide } from './encryption/recipients.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';

const PACKED = { epoch: 1, chunks: 3, packed: true };
const folder = backupFolder(SAMPLE);

describe('packs of small tables', () => {
  let scratch: ScratchFolder;
  let stores = 0;
  let people: People;
  beforeAll(async () => {
    scratch = await createScratchFolder('packs');
    people = await newPeople();
  });
  afterAll(() => scratch.remove());

  async function emptyStore(): Promise<DirectoryStore> {
    stores += 1;
    const root = path.join(scratch.path, `store-${stores}`);
    await mkdir(root);
    return new DirectoryStore(root);
  }

  async function packedStore(): Promise<{
    readonly store: DirectoryStore;
    readonly manifest: Manifest;
    readonly pieces: readonly DataObject[];
  }> {
    const store = await emptyStore();
    await writeSampleBackup(store, PACKED);
    const manifest = await readManifest(store, SAMPLE);
    return { store, manifest, pieces: await Array.fromAsync(readDataObjects(store, manifest)) };
  }

  const fileOf = (store: DirectoryStore, key: string) => path.join(store.description, folder, key);

  async function keysIn(store: DirectoryStore): Promise<readonly string[]> {
    return (await Array.fromAsync(store.list(folder), ({ key }) => key.slice(folder.length))).sort();
  }

  it('hold several objects each, and stand in the manifest as what is stored', async () => {
    const { store, manifest, pieces } = await packedStore();
    const { packs = [] } = manifest;
    expect(manifest.formatVersion).toBe(2);
    expect(packs.length).toBeGreaterThan(1);
    expect(packs.length).toBeLessThan(pieces.length);
    expect(pieces.every(({ at }) => at !== undefined)).toBe(true);
    const named = await Array.fromAsync(readNamedObjects(store, manifest), ({ entry }) => entry.key);
    expect(['manifest.json', ...named].sort()).toEqual(await keysIn(store));
    // All that the manifest names but lists.
    expect(manifest.totals.objects).toBe(named.filter((key) => !key.startsWith('lists/')).length);
    for (const { key, sha256, sizeBytes } of packs) {
      const stored = await readFile(fileOf(store, key));
      expect({ sha256: sha256Hex(stored), sizeBytes: stored.length }).toEqual({ sha256, sizeBytes });
    }
  });

  it('are refused by name by a program that knows format 1 alone, and a backup without them is of format 1', async () => {
    const { manifest } = await writeSampleBackup(await emptyStore());
    expect(manifest).toMatchObject({ formatVersion: 1 });
    expect(manifest).not.toHaveProperty('packs');
  });

  it.each(['exists', 'checksums', 'content'] as const)(
    'are found sound, each once, at level %s',
    async (level) => {
      const { store, manifest } = await packedStore();
      const lists = 'lists' in manifest.data ? manifest.data.lists : [];
      await expect(verifyBackup(store, SAMPLE, level)).resolves.toMatchObject({
        verdict: 'OK',
        problems: [],
        checkedObjects: manifest.totals.objects + lists.length,
        checkedBytes: manifest.totals.storedBytes + lists.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      });
    },
  );

  it('a flip in any byte is found, costs the piece that it is in alone, and names its table', async () => {
    const { store, pieces } = await packedStore();
    for (const piece of pieces) {
      const file = fileOf(store, piece.key);
      const sound = await readFile(file);
      for (const at of [0, piece.sizeBytes >> 1, piece.sizeBytes - 1]) {
        const damaged = Buffer.from(sound);
        damaged.writeUInt8(damaged.readUInt8((piece.at ?? 0) + at) ^ 1, (piece.at ?? 0) + at);
        await writeFile(file, damaged);
        const { verdict, problems } = await verifyBackup(store, SAMPLE, 'content');
        expect(verdict).toBe('FAILED');
        expect(problems).toHaveLength(2);
        expect(problems[0]).toContain(piece.key);
        expect(problems[1]).toContain(`${dataObjectName(piece)} holds rows of public.${piece.table.table}`);
        for (const level of ['checksums'] as const) {
          const { problems: found } = await verifyBackup(store, SAMPLE, level);
          expect(found).toEqual([expect.stringContaining(piece.key)]);
        }
        for (const other of pieces) {
          const reading = readData(store, folder, other);
          if (other === piece) await expect(reading).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
          else expect(sha256Hex(await reading)).toBe(other.sha256);
        }
      }
      await writeFile(file, sound);
    }
  });

  it.each<[string, (sound: Buffer) => Buffer]>([
    ['longer', (sound) => Buffer.concat([sound, Buffer.from('\n')])],
    ['shorter', (sound) => sound.subarray(0, -1)],
    ['empty', () => Buffer.alloc(0)],
  ])('one that is %s is found at every level', async (_what, damage) => {
    const { store, manifest } = await packedStore();
    const key = manifest.packs?.[0]?.key ?? '';
    await writeFile(fileOf(store, key), damage(await readFile(fileOf(store, key))));
    for (const level of ['exists', 'checksums', 'content'] as const) {
      const { verdict, problems } = await verifyBackup(store, SAMPLE, level);
      expect(verdict).toBe('FAILED');
      expect(problems[0]).toContain(key);
    }
  });

  type Change = (manifest: Manifest, pieces: readonly DataObject[]) => Partial<Manifest>;
  it.each<[string, Change]>([
    ['a piece left out', (_manifest, pieces) => ({ data: { inline: pieces.slice(1) } })],
    ['a piece doubled', (_manifest, pieces) => ({ data: { inline: [...pieces, ...pieces.slice(0, 1)] } })],
    [
      'a piece at another place',
      (_manifest, pieces) => ({
        data: {
          inline: pieces.map((piece, place) => (place === 1 ? { ...piece, at: (piece.at ?? 0) + 1 } : piece)),
        },
      }),
    ],
    ['a pack left out', ({ packs = [] }) => ({ packs: packs.slice(1) })],
    [
      'two pieces of equal size exchanged',
      (_manifest, pieces) => {
        const [one, other, ...rest] = pieces;
        if (one === undefined || other === undefined) throw new Error('the sample has too few pieces');
        return {
          data: {
            inline: [
              { ...one, table: other.table, at: other.at ?? 0 },
              { ...other, at: one.at ?? 0 },
              ...rest,
            ],
          },
        };
      },
    ],
  ])('a manifest that contradicts itself with %s fails', async (_what, change) => {
    const { store, manifest, pieces } = await packedStore();
    const inline: Manifest = { ...manifest, data: { inline: pieces } };
    await replaceSealed(store, manifestKey(SAMPLE), inline);
    await expect(verifyBackup(store, SAMPLE, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    await replaceSealed(store, manifestKey(SAMPLE), { ...inline, ...change(inline, pieces) });
    const report = await verifyBackup(store, SAMPLE, 'content');
    expect(report).toMatchObject({ verdict: 'FAILED' });
    expect(report.problems).not.toEqual([]);
  });

  it('a manifest is not written where its pieces and its packs do not fit together, or a pack is missing', async () => {
    const { store, manifest, pieces } = await packedStore();
    const other = { ...SAMPLE, backup: 'another' };
    const { formatVersion: _version, totals: _totals, data: _data, ...draft } = { ...manifest, ...other };
    await expect(writeManifest(store, draft, pieces.slice(1))).rejects.toMatchObject({
      code: 'MANIFEST_BAD_PACKS',
    });
    const { packs: _packs, ...without } = draft;
    await expect(writeManifest(store, without, pieces)).rejects.toMatchObject({ code: 'MANIFEST_BAD_PACKS' });
    await expect(
      writeManifest(
        store,
        {
          ...draft,
          commonObjects: [],
          databases: draft.databases.map((one) => ({ ...one, schemaObjects: [] })),
        },
        pieces,
      ),
    ).rejects.toMatchObject({ code: 'BACKUP_INCOMPLETE', message: expect.stringContaining('pack-0-') });
  });

  it('are copied, swept beside and deleted by their keys', async () => {
    const { store, manifest } = await packedStore();
    const to = await emptyStore();
    await expect(copyBackup(store, to, SAMPLE)).resolves.toMatchObject({ objects: manifest.totals.objects });
    expect(await keysIn(to)).toEqual(await keysIn(store));
    await expect(verifyBackup(to, SAMPLE, 'content')).resolves.toMatchObject({ verdict: 'OK' });

    const stray = Buffer.from('of a late writer');
    await to.put(`${folder}data/e1/pack-0-0-000000000000.zst`, stray, {
      sha256: sha256Hex(stray),
      ifAbsent: true,
    });
    await expect(sweepBackup(to, SAMPLE)).resolves.toMatchObject({ deletedObjects: 1 });
    expect(await keysIn(to)).toEqual(await keysIn(store));

    const mark = { ...SAMPLE, markedAt: '2026-11-24T00:00:00.000Z', deleteAfter: '2026-11-24T00:00:00.000Z' };
    await deleteBackup(to, mark, { reason: 'for a test', isLive: () => Promise.resolve(false) });
    expect(await keysIn(to)).toEqual(['manifest.json']);
  });

  it('of an encrypted repository are read by ranges, and hold what they hold without encryption', async () => {
    const raw = await emptyStore();
    await writeSampleBackup(backupSide(raw, people), PACKED);
    const store = restoreSide(raw, people);
    const { pieces: clear } = await packedStore();
    const manifest = await readManifest(store, SAMPLE);
    const pieces = await Array.fromAsync(readDataObjects(store, manifest));
    expect(pieces).toEqual(clear);
    for (const piece of pieces) expect(sha256Hex(await readData(store, folder, piece))).toBe(piece.sha256);
  });

  it('are read by one request for each run of neighbours', async () => {
    const { store, pieces } = await packedStore();
    const asked: string[] = [];
    const counting = {
      ...{
        store: new Proxy(store, {
          get: (target, name) => (name === 'get' ? get : Reflect.get(target, name)),
        }),
        folder,
      },
      signal: new AbortController().signal,
    };
    function get(...[key, options]: Parameters<DirectoryStore['get']>): Promise<Uint8Array> {
      asked.push(key);
      return store.get(key, options);
    }
    const read: string[] = [];
    const without = pieces.filter((_piece, place) => place !== 1);
    for (const wanted of [pieces, without]) {
      asked.length = 0;
      read.length = 0;
      for await (const group of fetchGroupsAhead(counting, [wanted]))
        for (const { body } of group) read.push(sha256Hex(Uint8Array.from(body)));
      expect(read).toEqual(wanted.map(({ sha256 }) => sha256));
      expect(asked).toHaveLength(runsOf(wanted).length);
    }
    expect(runsOf(pieces)).toHaveLength(new Set(pieces.map(({ key }) => key)).size);
    expect(runsOf(without).length).toBeGreaterThanOrEqual(runsOf(pieces).length);
  });
});

describe('a writer of packs', () => {
  const bodies = [10, 20, 30, 5].map((length, place) => new Uint8Array(length).fill(place));

  async function write(limit: number) {
    const puts: { readonly key: string; readonly body: Buffer }[] = [];
    const store = {
      put: (key: string, body: Uint8Array) => {
        puts.push({ key, body: Buffer.from(body) });
        return Promise.resolve('created' as const);
      },
    };
    const context = { store, folder: 'b/', signal: new AbortController().signal };
    const writer = new PackWriter(packsOfBackup(context, { epoch: 2 }, 7), limit);
    const objects: DataObject[] = [];
    for (const body of bodies) {
      const table = { database: 'd', schema: 's', table: 't' };
      const own = { sizeBytes: body.length, sha256: sha256Hex(body), table, columns: [], rows: 1, bytes: 1 };
      objects.push({ ...(await writer.add(body, sha256Hex(body))), ...own });
    }
    const finished = await writer.finish(objects);
    writer.release();
    return { puts, ...finished };
  }

  it('closes a pack before it outgrows its bound, and puts each once under a name with its hash', async () => {
    const { puts, objects, packs = [] } = await write(50);
    expect(objects.map(({ at }) => at)).toEqual([0, 10, 0, 30]);
    expect(puts.map(({ key }) => key)).toEqual(packs.map(({ key }) => `b/${key}`));
    expect(packs.map(({ key }) => key)).toEqual([
      expect.stringMatching(/^data\/e2\/pack-7-0-[0-9a-f]{12}\.zst$/),
      expect.stringMatching(/^data\/e2\/pack-7-1-[0-9a-f]{12}\.zst$/),
    ]);
    for (const { key, at = 0, sizeBytes, sha256 } of objects) {
      const pack = puts.find((put) => put.key === `b/${key}`)?.body;
      expect(sha256Hex(pack?.subarray(at, at + sizeBytes) ?? Buffer.alloc(0))).toBe(sha256);
    }
  });

  it('gives a piece that is larger than the bound a pack of its own, and the same names for the same bytes', async () => {
    const first = await write(25);
    expect(first.packs).toHaveLength(4);
    expect(await write(25)).toEqual(first);
  });
});
