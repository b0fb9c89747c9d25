import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { VerifyReport } from '../../model/backup.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { newestReport, readReports, recordReport } from '../../repository/ledger.ts';
import { SAMPLE } from './sample-backup.ts';

function reportAt(
  finishedAt: string,
  verdict: VerifyReport['verdict'],
  backup = SAMPLE.backup,
): VerifyReport {
  return {
    plan: SAMPLE.plan,
    backup,
    level: 'content',
    verdict,
    checkedObjects: 3,
    checkedBytes: 4,
    problems: verdict === 'OK' ? [] : ['data/e1/x is missing.'],
    startedAt: '2026-11-23T00:00:00.000Z',
    finishedAt,
  };
}

describe('the ledger of verifications', () => {
  let scratch: ScratchFolder;
  let store: DirectoryStore;
  beforeAll(async () => {
    scratch = await createScratchFolder('ledger');
    const root = path.join(scratch.path, 'repository');
    await mkdir(root);
    store = new DirectoryStore(root);
  });
  afterAll(() => scratch.remove());

  it('tells the newest of a backup, and all of them, the newest first', async () => {
    await expect(newestReport(store, SAMPLE)).resolves.toBeUndefined();
    const old = reportAt('2026-11-23T01:00:00.000Z', 'OK');
    const newest = reportAt('2026-12-01T00:00:00.000Z', 'FAILED');
    const middle = reportAt('2026-11-23T01:00:00.001Z', 'INCONCLUSIVE');
    const foreign = reportAt('2027-01-01T00:00:00.000Z', 'OK', `${SAMPLE.backup}x`);
    // The same report twice, as a retry records it, is one entry.
    for (const report of [old, newest, middle, newest, foreign]) await recordReport(store, report);
    await expect(newestReport(store, SAMPLE)).resolves.toEqual(newest);
    await expect(Array.fromAsync(readReports(store, SAMPLE))).resolves.toEqual([newest, middle, old]);
  });
});
