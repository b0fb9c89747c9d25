import { randomUUID } from 'node:crypto';
import { quietVerb } from '../../../engines/quiet-verb.ts';
import { type CaptureRhythm, captureChanges } from '../../../engines/ysql/archive/capture.ts';
import type { ArchiveContext } from '../../../engines/ysql/archive/context.ts';
import { openTimeline } from '../../../engines/ysql/archive/open.ts';
import type { ArchivePolicy, ArchiveRequest, TimelineEnd } from '../../../model/archive.ts';
import { ArchiveLease } from '../../../repository/archive/lease.ts';
import type { Store } from '../../../repository/store.ts';
import { ysqlSource } from '../harness.ts';

export const PLAN = 'orders';

const POLICY: ArchivePolicy = {
  lagMs: 300,
  segmentBytes: 256 * 1024,
  retentionMs: 7 * 86_400_000,
  maxSourceLagBytes: 20 * 1024 ** 3,
};

export const QUICK: CaptureRhythm = { tickMs: 50, watchMs: 500, idleMs: 1_000 };

export function archiveRequest(
  database: string,
  root: string,
  policy: Partial<ArchivePolicy> = {},
  plan = PLAN,
): ArchiveRequest {
  return {
    plan,
    source: ysqlSource(),
    database,
    repository: { name: 'main', location: { kind: 'directory', path: root } },
    policy: { ...POLICY, ...policy },
  };
}

export async function archiveContext(
  store: Store,
  url: string,
  request: ArchiveRequest,
  { signal, owner = 'run', sinceMs = Date.now() }: { signal: AbortSignal; owner?: string; sinceMs?: number },
): Promise<ArchiveContext> {
  const verb = quietVerb(() => Promise.resolve(url), signal);
  const lease = await ArchiveLease.take(store, request, { owner, token: randomUUID(), sinceMs });
  return { ...verb, request, store, lease };
}

/** One attempt, as the activities do it: opens the archive and stores changes until the timeline ends or `signal` aborts. */
export async function archiveOnce(context: ArchiveContext, rhythm = QUICK): Promise<TimelineEnd> {
  return await captureChanges(context, await openTimeline(context), rhythm);
}
