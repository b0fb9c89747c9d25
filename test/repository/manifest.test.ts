import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { listBackups, listPlans } from '../../repository/backups/list-backups.ts';
import {
  findManifest,
  MANIFEST_FORMAT_VERSION,
  readDataObjects,
  readManifest,
} from '../../repository/backups/manifest.ts';
import { type ManifestDraft, writeManifest } from '../../repository/backups/write-manifest.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder, manifestKey } from '../../repository/layout.ts';
import { ensureRepository, readRepository } from '../../repository/repository.ts';
import { sealJson } from '../../repository/sealed-json.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { folderForEachTest } from '../support/scratch.ts';
import { SAMPLE, SAMPLE_ROWS, writeSampleBackup } from './sample-backup.ts';

describe('a repository', () => {
  const emptyFolder = folderForEachTest('manifest');
  let root: string;
  let store: DirectoryStore;
  beforeEach(() => {
    root = emptyFolder();
    store = new DirectoryStore(root);
  });

  const fileOf = (key: string) => path.join(root, key);

  function draft(backup: string, takenAt: string): ManifestDraft {
    return {
      plan: SAMPLE.plan,
      backup,
      engine: 'ysql',
      pipelineHash: '0'.repeat(64),
      writtenBy: { holdfast: '0.1.0', host: 'worker-1' },
      startedAt: takenAt,
      completedAt: takenAt,
      server: { product: 'yugabytedb', version: '2.25.2.0' },
      readPoint: { kind: 'yb-read-time', epoch: 1, micros: '1795312800000000', takenAt },
      contents: 'all',
      databases: [],
      commonObjects: [],
    };
  }

  describe('identity', () => {
    it('is made once, whoever comes first', async () => {
      const [one, other] = await Promise.all([ensureRepository(store), ensureRepository(store)]);
      expect(one).toEqual(other);
      await expect(ensureRepository(store)).resolves.toEqual(one);
      await expect(readRepository(store)).resolves.toEqual(one);
    });

    it('is refused by name where a newer Holdfast wrote it', async () => {
      const { id, createdAt } = await ensureRepository(store);
      await writeFile(fileOf('repository.json'), sealJson({ formatVersion: 3, id, createdAt }));
      await expect(readRepository(store)).rejects.toMatchObject({
        code: 'FORMAT_TOO_NEW',
        transient: false,
        message: expect.stringContaining('format version 3'),
      });
    });

    it('is missed where there is no repository', async () => {
      await expect(readRepository(store)).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    });
  });

  describe('manifest', () => {
    it('says what the data objects say: rows, bytes and objects by table and together', async () => {
      const { manifest } = await writeSampleBackup(store);
      const data = await Array.fromAsync(readDataObjects(store, manifest));
      const sum = (of: (object: (typeof data)[number]) => number) =>
        data.reduce((total, object) => total + of(object), 0);
      expect(manifest.totals).toMatchObject({
        rows: 42,
        tables: 2,
        objects: data.length + 3,
        bytes: sum(({ bytes }) => bytes),
      });
      expect(manifest.databases[0]?.tables).toEqual(
        Object.entries(SAMPLE_ROWS).map(([table, rows]) =>
          expect.objectContaining({ table, rows, objects: 3 }),
        ),
      );
      await expect(readManifest(store, SAMPLE)).resolves.toEqual(manifest);
    });

    it('keeps the order of the data objects through lists of their own', async () => {
      const { manifest } = await writeSampleBackup(store, { epoch: 1, chunks: 7 });
      expect(manifest.data).toMatchObject({ count: 14, lists: expect.any(Array) });
      const chunks = await Array.fromAsync(
        readDataObjects(store, manifest),
        ({ key }) => /t\d-c\d/.exec(key)?.[0],
      );
      expect(chunks).toEqual([0, 1].flatMap((t) => [0, 1, 2, 3, 4, 5, 6].map((c) => `t${t}-c${c}`)));
    });

    it('can be checked with head and sha256sum alone', async () => {
      await writeSampleBackup(store);
      const file = fileOf(manifestKey(SAMPLE));
      const printed = execFileSync('sh', ['-c', `head -n -2 "$1" | sha256sum`, 'sh', file], {
        encoding: 'utf8',
      });
      const { sha256 } = JSON.parse(await readFile(file, 'utf8'));
      expect(printed.split(' ')[0]).toBe(sha256);
    });

    it('is refused where a newer Holdfast wrote it', async () => {
      const manifest = { formatVersion: MANIFEST_FORMAT_VERSION + 1, anything: 'else' };
      await store.put(manifestKey(SAMPLE), sealJson(manifest), options(sealJson(manifest)));
      await expect(readManifest(store, SAMPLE)).rejects.toMatchObject({ code: 'FORMAT_TOO_NEW' });
    });

    it('keeps to itself what it does not know, from a newer Holdfast of the same format', async () => {
      const { manifest } = await writeSampleBackup(store);
      const { data, ...rest } = manifest;
      const newer = sealJson({ ...rest, addedLater: true, data });
      await store.put(manifestKey(SAMPLE), newer, { ...options(newer), ifAbsent: false });
      await expect(readManifest(store, SAMPLE)).resolves.toEqual(manifest);
    });

    it('of another backup is refused', async () => {
      const { manifest } = await writeSampleBackup(store);
      const other = { plan: SAMPLE.plan, backup: 'other' };
      const foreign = sealJson(manifest);
      await store.put(manifestKey(other), foreign, options(foreign));
      await expect(readManifest(store, other)).rejects.toMatchObject({
        code: 'STORE_DAMAGED',
        message: expect.stringContaining(`${manifestKey(other)} in ${root} is damaged`),
      });
    });

    it('is not written while an object that it would name is missing', async () => {
      const entry = { key: 'globals', sizeBytes: 3, sha256: '0'.repeat(64) };
      const incomplete = { ...draft('incomplete', '2026-11-23T00:00:00Z'), commonObjects: [entry] };
      await expect(writeManifest(store, incomplete, [])).rejects.toMatchObject({
        code: 'BACKUP_INCOMPLETE',
        message: expect.stringContaining('globals'),
      });
      await expect(findManifest(store, incomplete)).resolves.toBeUndefined();
    });

    it('is not written for data of a table that the backup does not list', async () => {
      const stray = {
        key: 'data/e1/x',
        sizeBytes: 1,
        sha256: '0'.repeat(64),
        table: { database: 'shop', schema: 'public', table: 'stray' },
        columns: [],
        rows: 1,
        bytes: 1,
      };
      const written = writeManifest(store, draft('stray', '2026-11-23T00:00:00Z'), [stray]);
      await expect(written).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN_TABLE' });
    });

    it('is told missing by its key', async () => {
      const missing = readManifest(store, SAMPLE);
      await expect(missing).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND', transient: false });
      await expect(missing).rejects.toThrow(manifestKey(SAMPLE));
    });
  });

  describe('listing', () => {
    it('orders backups by the time of their read point, newest first, whatever their names', async () => {
      await writeManifest(store, draft('a-newest', '2026-11-23T12:00:00+02:00'), []);
      await writeManifest(store, draft('b-oldest', '2026-11-21T00:00:00Z'), []);
      await writeManifest(store, draft('c-middle', '2026-11-23T09:59:00Z'), []);
      const { backups } = await listBackups(store, SAMPLE.plan);
      expect(backups.map(({ backup }) => backup)).toEqual(['a-newest', 'c-middle', 'b-oldest']);
    });

    it('hides neither damaged nor unfinished backups', async () => {
      await writeManifest(store, draft('sound', '2026-11-23T00:00:00Z'), []);
      await writeManifest(store, draft('damaged', '2026-11-23T00:00:00Z'), []);
      const file = fileOf(manifestKey({ plan: SAMPLE.plan, backup: 'damaged' }));
      await writeFile(file, (await readFile(file, 'utf8')).replace('worker-1', 'worker-2'));
      const half = Buffer.from('half');
      const unfinished = backupFolder({ plan: SAMPLE.plan, backup: 'unfinished' });
      await store.put(`${unfinished}data/e1/x`, half, options(half));
      const { backups, unusable } = await listBackups(store, SAMPLE.plan);
      expect(backups.map(({ backup }) => backup)).toEqual(['sound']);
      expect(unusable).toEqual([
        {
          backup: 'damaged',
          state: 'damaged',
          problem: expect.stringContaining(`backups/${SAMPLE.plan}/damaged/manifest.json`),
        },
        { backup: 'unfinished', state: 'unfinished', problem: expect.stringContaining('no manifest') },
      ]);
    });

    it('names the plans that have backups, and finds none in a new repository', async () => {
      await expect(Array.fromAsync(listPlans(store))).resolves.toEqual([]);
      await expect(listBackups(store, 'none')).resolves.toEqual({
        backups: [],
        sha256: new Map(),
        unusable: [],
      });
      await writeSampleBackup(store);
      await expect(Array.fromAsync(listPlans(store))).resolves.toEqual([SAMPLE.plan]);
    });

    it('refuses the name of a plan that would lead elsewhere', async () => {
      await expect(listBackups(store, '../verified')).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
    });
  });

  function options(body: Uint8Array) {
    return { sha256: sha256Hex(body), ifAbsent: true };
  }
});
