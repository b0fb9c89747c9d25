import type { SchemaReport, Verdict, VerifyReport } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { worseOf } from '../model/verdict.ts';
import { lengthily } from './activity-proxies.ts';
import { tellCatalogueChanged } from './catalogue-news.ts';
import type { VerifyInput } from './messages.ts';
import { RunFrame } from './run-frame.ts';
import { verifyByRestore, verifyBySchema } from './scratch-restore.ts';

const SCRATCH_PARALLELISM = 2;

/**
 * Verifies one backup at a level and records the verdict in the repository's ledger. If the input asks for it, also verifies the plan's
 * archive of changes, whose verdict is only in the result. Fails only when no verdict can be recorded.
 */
export async function verify(input: VerifyInput): Promise<VerifyReport | SchemaReport> {
  const { ref, level, notify, labels } = input;
  const withArchive = input.archive === true && level !== 'schema';
  const frame = new RunFrame({
    title: `Verification of ${ref.backup}`,
    steps: [
      { id: 'verify', verb: 'verify' },
      ...(withArchive ? [{ id: 'archive', verb: 'verify' } as const] : []),
    ],
    news: { kind: 'verify', plan: ref.plan, backup: ref.backup, ...defined({ notify, labels }) },
  });
  const stage = <T extends { readonly verdict: Verdict; readonly problems: readonly string[] }>(
    id: string,
    look: () => Promise<T>,
  ) =>
    frame.stage(
      id,
      look,
      ({ problems }) => problems.slice(0, 10).join('; '),
      ({ verdict }) => (verdict === 'OK' ? 'done' : 'failed'),
    );
  return frame.run({
    work: async () => {
      const report = await stage('verify', () => reportOf(input));
      if (!withArchive || report.level === 'schema') return report;
      const archive = await stage('archive', () =>
        lengthily('verify the archive of changes').verifyArchive({
          repository: ref.repository,
          plan: ref.plan,
          // Level `restore` would read every segment that the restore replays, as `content` does.
          level: level === 'restore' ? 'content' : level,
        }),
      );
      return { ...report, archive };
    },
    end: (report) => {
      const archive = report.level === 'schema' ? undefined : report.archive;
      const also = archive === undefined ? '' : `; archive of changes: ${archive.verdict}`;
      const verdict = worseOf(report.verdict, archive?.verdict ?? 'OK');
      const [problem] = [...report.problems, ...(archive?.problems ?? [])];
      return {
        headline: `${ref.backup}, level ${level}: ${report.verdict}${also}`,
        verdict,
        facts: { level },
        ...(problem === undefined ? {} : { error: { code: `VERIFY_${verdict}`, message: problem } }),
      };
    },
    succeeded: async () => {
      if (level !== 'schema') await tellCatalogueChanged(ref.plan);
    },
  });
}

async function reportOf({ ref, level, source }: VerifyInput): Promise<VerifyReport | SchemaReport> {
  const activities = lengthily(`verify ${level}`);
  const wishes = { source, parallelism: SCRATCH_PARALLELISM };
  if (level === 'schema') return verifyBySchema(ref, wishes);
  if (level === 'restore') return verifyByRestore(activities, ref, wishes);
  return activities.verify({ ref, level });
}
