import { z } from 'zod';
import type { VerifyReport } from '../model/backup.ts';
import { type BackupId, ledgerFolder, ledgerKey } from './layout.ts';
import { getSealed, putSealed } from './sealed-object.ts';
import type { Cancellable, Store } from './store.ts';

const verdict = z.enum(['OK', 'FAILED', 'INCONCLUSIVE']);

const reportSchema: z.ZodType<VerifyReport> = z.object({
  plan: z.string(),
  backup: z.string(),
  level: z.enum(['exists', 'checksums', 'content', 'restore']),
  verdict,
  checkedObjects: z.int().nonnegative(),
  checkedBytes: z.int().nonnegative(),
  problems: z.array(z.string()),
  compared: z.string().exactOptional(),
  notes: z.array(z.string()).exactOptional(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  drill: z
    .object({
      restoreMs: z.int().nonnegative().exactOptional(),
      assertions: z.array(z.object({ name: z.string(), verdict, problem: z.string().exactOptional() })),
    })
    .exactOptional(),
});

/** Adds a verification to the ledger. Adding the same report twice makes one entry. */
export async function recordReport(
  store: Store,
  report: VerifyReport,
  options: Cancellable = {},
): Promise<void> {
  await putSealed(store, ledgerKey(report, report.finishedAt), report, options);
}

/** All verifications of a backup, the newest first. Throws `STORE_DAMAGED` (permanent) naming an entry. */
export async function* readReports(
  store: Store,
  ref: BackupId,
  options: Cancellable = {},
): AsyncGenerator<VerifyReport> {
  const keys = await Array.fromAsync(store.list(ledgerFolder(ref), options), ({ key }) => key);
  // Names are times of a fixed width, so they sort by time.
  for (const key of keys.sort().reverse()) yield await getSealed(store, key, reportSchema, options);
}

/** The newest verification of a backup. Undefined where it was never verified. */
export async function newestReport(
  store: Store,
  ref: BackupId,
  options: Cancellable = {},
): Promise<VerifyReport | undefined> {
  for await (const report of readReports(store, ref, options)) return report;
  return undefined;
}
