/**
 * Archives changes as a worker does, in a separate process, so that its CPU time and memory can be measured: `node bench/archive-process.ts
 * JSON`, an `ArchiveProcessInput`. Prints one line of JSON for each stored segment, and one at its end. SIGTERM ends it.
 */
import { randomUUID } from 'node:crypto';
import type { VerbContext } from '../engines/engine.ts';
import { type CaptureProgress, captureChanges } from '../engines/ysql/archive/capture.ts';
import { openTimeline } from '../engines/ysql/archive/open.ts';
import { POSTGRESQL } from '../engines/ysql/archive/postgresql-source.ts';
import type { ArchiveRequest, Lsn, Timeline } from '../model/archive.ts';
import { putTimeline } from '../repository/archive.ts';
import { ArchiveLease } from '../repository/archive-lease.ts';
import { openStore } from '../repository/open.ts';

export interface ArchiveProcessInput {
  readonly request: ArchiveRequest;
  readonly url: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Continues this timeline, in a repository that has nothing of it. Absent: opens a new one. */
  readonly timeline?: Timeline;
  /** The process ends when everything before this position is stored. */
  readonly until?: Lsn;
}

export interface ArchiveProcessStored {
  readonly kind: 'stored';
  readonly lsn: Lsn;
  readonly storedUntilMicros: number;
  readonly atMs: number;
  readonly residentBytes: number;
}

export interface ArchiveProcessEnd {
  readonly kind: 'end';
  /** From the connection to the last wanted segment. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly storedBytes: number;
}

const input = JSON.parse(process.argv[2] ?? '') as ArchiveProcessInput;
const secret: VerbContext['secret'] = (reference) =>
  Promise.resolve(
    !('env' in reference)
      ? ''
      : reference.env === 'KEY'
        ? input.accessKeyId
        : reference.env === 'SECRET'
          ? input.secretAccessKey
          : input.url,
  );
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const { request, timeline, until } = input;
const store = await openStore(request.repository, secret);
const holder = { owner: 'bench', token: randomUUID(), sinceMs: Date.now() };
const lease = await ArchiveLease.take(store, request, holder);
let last: { readonly progress: CaptureProgress; readonly end: ArchiveProcessEnd } | undefined;
const print = (line: ArchiveProcessStored | ArchiveProcessEnd) =>
  process.stdout.write(`${JSON.stringify(line)}\n`);
const startedAt = performance.now();
const cpuBefore = process.cpuUsage();
const context = {
  ...{ signal: stop.signal, attempt: 1, log: () => undefined, secret, request, store, lease },
  heartbeat(details: unknown) {
    if (until !== undefined && last !== undefined && last.progress.lsn >= until) return;
    const progress = details as CaptureProgress;
    const { user, system } = process.cpuUsage(cpuBefore);
    const end: ArchiveProcessEnd = {
      kind: 'end',
      seconds: (performance.now() - startedAt) / 1_000,
      cpuSeconds: (user + system) / 1e6,
      peakBytes: process.resourceUsage().maxRSS * 1024,
      storedBytes: progress.storedBytes,
    };
    last = { progress, end };
    const { lsn, storedUntilMicros } = progress;
    const residentBytes = process.memoryUsage.rss();
    print({ kind: 'stored', lsn, storedUntilMicros, atMs: Date.now(), residentBytes });
    if (until !== undefined && lsn >= until) stop.abort();
  },
};
if (timeline !== undefined) await putTimeline(store, timeline);
const opened =
  timeline === undefined
    ? await openTimeline(context)
    : { source: POSTGRESQL, stored: { timeline, segments: [] }, end: timeline.startLsn };
try {
  await captureChanges(context, opened);
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
if (last === undefined) throw new Error('nothing was archived');
print(last.end);
process.exit(0);
