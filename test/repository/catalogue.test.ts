import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { VerifyReport } from '../../model/backup.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { forHistory, readCatalogue } from '../../repository/catalogue.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { ledgerKey, manifestKey } from '../../repository/layout.ts';
import { recordReport } from '../../repository/ledger.ts';
import { readRepository } from '../../repository/repository.ts';
import { replaceSealed } from '../../repository/sealed-object.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';

describe('the catalogue of a plan', () => {
  let scratch: ScratchFolder;
  let store: DirectoryStore;
  beforeAll(async () => {
    scratch = await createScratchFolder('catalogue');
    const root = path.join(scratch.path, 'repository');
    await mkdir(root);
    store = new DirectoryStore(root);
  });
  afterAll(() => scratch.remove());

  const read = () =>
    readCatalogue(store, { name: 'main', location: { kind: 'directory', path: '/' } }, SAMPLE.plan);

  async function verify(level: VerifyReport['level'], verdict: VerifyReport['verdict'], minute: number) {
    await recordReport(store, {
      ...SAMPLE,
      level,
      verdict,
      checkedObjects: 1,
      checkedBytes: 1,
      problems: [],
      startedAt: `2026-11-23T05:${minute}:00.000Z`,
      finishedAt: `2026-11-23T05:${minute}:30.000Z`,
    });
  }

  it('is empty where no repository has been made, and makes none', async () => {
    await expect(read()).resolves.toMatchObject({ entries: [], unusable: 0, total: 0 });
    await expect(read()).resolves.not.toHaveProperty('repositoryId');
    await expect(Array.fromAsync(store.list(''))).resolves.toEqual([]);
  });

  it('tells each backup with its instant, size and what became of its verifications', async () => {
    const { manifest } = await writeSampleBackup(store);
    const { id } = await readRepository(store);
    await expect(read()).resolves.toMatchObject({
      plan: SAMPLE.plan,
      repository: 'main',
      repositoryId: id,
      total: 1,
      entries: [
        {
          backup: SAMPLE.backup,
          instant: manifest.readPoint.takenAt,
          rows: manifest.totals.rows,
          storedBytes: manifest.totals.storedBytes,
          contents: 'all',
        },
      ],
    });
    await verify('restore', 'OK', 10);
    await verify('checksums', 'INCONCLUSIVE', 11);
    await expect(read()).resolves.toMatchObject({
      entries: [
        {
          verified: { level: 'checksums', verdict: 'INCONCLUSIVE' },
          lastGood: { level: 'restore', at: '2026-11-23T05:10:30.000Z' },
          drill: { verdict: 'OK', restoreMs: 30_000 },
        },
      ],
    });
    await verify('content', 'FAILED', 12);
    await verify('checksums', 'INCONCLUSIVE', 13);
    const [entry] = (await read()).entries;
    expect(entry).not.toHaveProperty('lastGood');
  });

  it('leaves damage standing until a verification that looks as closely finds none', async () => {
    const found = { lastBad: { level: 'content', at: '2026-11-23T05:12:30.000Z' } };
    await expect(read()).resolves.toMatchObject({
      entries: [{ verified: { verdict: 'INCONCLUSIVE' }, ...found }],
    });
    await verify('exists', 'OK', 14);
    await expect(read()).resolves.toMatchObject({ entries: [{ verified: { verdict: 'OK' }, ...found }] });
    await verify('content', 'OK', 15);
    await verify('restore', 'FAILED', 16);
    await expect(read()).resolves.toMatchObject({ entries: [{ lastBad: { level: 'restore' } }] });
    await verify('exists', 'OK', 17);
    const [entry] = (await read()).entries;
    expect(entry).toMatchObject({ lastGood: { level: 'exists' } });
    expect(entry).not.toHaveProperty('lastBad');
  });

  it('counts a backup as never verified where the ledger is damaged, and says so', async () => {
    const body = Buffer.from('{"verdict": "OK"}');
    const key = ledgerKey(SAMPLE, '2026-11-23T06:00:00.000Z');
    await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: true });
    const [entry] = (await read()).entries;
    expect(entry).toMatchObject({ backup: SAMPLE.backup, problem: expect.stringContaining(key) });
    expect(entry).not.toHaveProperty('verified');
  });

  it('is cut to what a workflow’s history bears, the newest first, and says how many there are', async () => {
    const catalogue = await read();
    const [entry] = catalogue.entries;
    if (entry === undefined) throw new Error('there is a backup');
    const many = { ...catalogue, entries: Array.from({ length: 3_000 }, () => entry), total: 3_000 };
    const cut = forHistory(many);
    expect(cut.total).toBe(3_000);
    expect(cut.entries.length).toBeGreaterThan(300);
    expect(JSON.stringify(cut).length).toBeLessThan(256 * 1024);
  });

  it('says of a backup that it lacks rows', async () => {
    const ref = { plan: SAMPLE.plan, backup: '20261124T020000Z-lacks1' };
    const { manifest } = await writeSampleBackup(store, { epoch: 1, chunks: 3 }, ref);
    const databases = manifest.databases.map((database) => ({
      ...database,
      tables: database.tables.map((table) => ({ ...table, unread: ['those behind (host-1)'] })),
    }));
    await replaceSealed(store, manifestKey(ref), { ...manifest, databases });
    const { entries } = await read();
    expect(entries.find(({ backup }) => backup === ref.backup)).toMatchObject({ isIncomplete: true });
  });
});
