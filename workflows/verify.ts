import type { SchemaReport, VerifyReport } from '../model/backup.ts';
import { patiently } from './activity-proxies.ts';
import { tellCatalogueChanged } from './catalogue-news.ts';
import type { VerifyInput } from './messages.ts';
import { RunFrame } from './run-frame.ts';
import { verifyByRestore, verifyBySchema } from './scratch-restore.ts';

const SCRATCH_PARALLELISM = 2;

/** Checks one backup at a level and puts the verdict into the repository's ledger. Fails only when no verdict can be recorded. */
export async function verify(input: VerifyInput): Promise<VerifyReport | SchemaReport> {
  const { ref, level } = input;
  const frame = new RunFrame({
    title: `Verification of ${ref.backup}`,
    steps: [{ id: 'verify', verb: 'verify' }],
  });
  return frame.run({
    work: () =>
      frame.stage(
        'verify',
        () => reportOf(input),
        ({ problems }) => problems.slice(0, 10).join('; '),
        ({ verdict }) => (verdict === 'OK' ? 'done' : 'failed'),
      ),
    end: ({ verdict }) => ({ headline: `${ref.backup}, level ${level}: ${verdict}`, verdict }),
    succeeded: async () => {
      if (level !== 'schema') await tellCatalogueChanged(ref.plan);
    },
  });
}

async function reportOf({ ref, level, source }: VerifyInput): Promise<VerifyReport | SchemaReport> {
  const activities = patiently(`verify ${level}`);
  const wishes = { source, parallelism: SCRATCH_PARALLELISM };
  if (level === 'schema') return verifyBySchema(ref, wishes);
  if (level === 'restore') return verifyByRestore(activities, ref, wishes);
  return activities.verify({ ref, level });
}
