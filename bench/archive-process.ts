/**
 * Archives changes as a worker does, in a separate process, so that its CPU time and memory can be measured. Each line of its input is an
 * `ArchiveProcessInput` as JSON, one after the other. Prints one line of JSON for each stored segment, and one at the end of each input. SIGTERM
 * ends what is archived, and the process with its input.
 */
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { VerbContext } from '../engines/engine.ts';
import { type CaptureProgress, captureChanges } from '../engines/ysql/archive/capture.ts';
import { openTimeline } from '../engines/ysql/archive/open.ts';
import { POSTGRESQL } from '../engines/ysql/archive/postgresql-source.ts';
import type { ArchiveRequest, Lsn, Timeline } from '../model/archive.ts';
import { putTimeline } from '../repository/archive/archive.ts';
import { ArchiveLease } from '../repository/archive/lease.ts';
import { openStore } from '../repository/open.ts';

export interface ArchiveProcessInput {
  readonly request: ArchiveRequest;
  readonly url: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Continues this timeline, in a repository that has nothing of it. Absent: opens a new one. */
  readonly timeline?: Timeline;
  /** Ends when everything before this position is stored. */
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
  readonly segments: number;
  readonly transactions: number;
}

let stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
for await (const line of createInterface({ input: process.stdin })) {
  stop = new AbortController();
  print(await archive(JSON.parse(line) as ArchiveProcessInput, stop));
}
process.exit(0);

function print(line: ArchiveProcessStored | ArchiveProcessEnd): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function archive(input: ArchiveProcessInput, stop: AbortController): Promise<ArchiveProcessEnd> {
  const { request, timeline, until } = input;
  const secret = secretsOf(input);
  const store = await openStore(request.repository, secret);
  const holder = { owner: 'bench', token: randomUUID(), sinceMs: Date.now() };
  const lease = await ArchiveLease.take(store, request, holder);
  let last: { readonly progress: CaptureProgress; readonly end: ArchiveProcessEnd } | undefined;
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
        segments: progress.segments,
        transactions: progress.transactions,
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
  return last.end;
}

function secretsOf({ url, accessKeyId, secretAccessKey }: ArchiveProcessInput): VerbContext['secret'] {
  const values: Readonly<Record<string, string>> = { KEY: accessKeyId, SECRET: secretAccessKey, URL: url };
  return (reference) => Promise.resolve(('env' in reference ? values[reference.env] : undefined) ?? '');
}
