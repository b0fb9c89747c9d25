import { readFile, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { benchLatency, type LatencyFigures } from './universe-latency.ts';
import { benchScale, type ScaleFigures } from './universe-scale.ts';
import { benchUpload, type UploadFigures } from './universe-upload.ts';

export interface UniverseBenchOptions {
  /** 1: 5 GB in 20,000 files, and universes of up to 100,000 tablets. */
  readonly scale: number;
  readonly json: boolean;
  /** Writes the section of docs/benchmarks.md. */
  readonly write: boolean;
  /** Runs only this part. */
  readonly part: UniversePart | undefined;
}

export const UNIVERSE_PARTS = ['upload', 'latency', 'scale'] as const;
export type UniversePart = (typeof UNIVERSE_PARTS)[number];

interface UniverseReport {
  readonly machine: string;
  readonly upload?: UploadFigures;
  readonly latency?: LatencyFigures;
  readonly scale?: readonly ScaleFigures[];
}

const SIZES = [
  { tablets: 1_000, nodes: 3 },
  { tablets: 10_000, nodes: 30 },
  { tablets: 100_000, nodes: 300 },
] as const;

/** Measures the agents' upload against rclone, and the workflows at the size of large universes. */
export async function benchUniverse(options: UniverseBenchOptions): Promise<void> {
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const { scale, part } = options;
  const sizes = SIZES.map(({ tablets, nodes }) => ({
    tablets: Math.max(1, Math.round(tablets * scale)),
    nodes,
  }));
  const wanted = (each: UniversePart) => part === undefined || part === each;
  const report: UniverseReport = {
    machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    ...(wanted('upload') ? { upload: await benchUpload(scale, say) } : {}),
    ...(wanted('latency') ? { latency: await benchLatency(scale, say) } : {}),
    ...(wanted('scale') ? { scale: await benchScale(sizes, say) } : {}),
  };
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${render(report)}\n`);
  if (options.write) await writeSection(report);
  // Temporal's core keeps the process alive while it polls.
  process.exit();
}

export const UNIVERSE_SECTION = '<!-- universe -->';

async function writeSection(report: UniverseReport): Promise<void> {
  const page = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));
  const [others = ''] = (await readFile(page, 'utf8')).split(UNIVERSE_SECTION);
  const date = new Date().toISOString().slice(0, 10);
  const heading = `## Universes\nWritten by \`npm run bench -- universe --write\` on ${date}: ${report.machine}; everything on one machine, loopback.`;
  await writeFile(page, `${others.trimEnd()}\n\n${UNIVERSE_SECTION}\n${heading}\n\n${render(report)}\n`);
}

function render({ upload, latency, scale }: UniverseReport): string {
  return [
    ...(upload === undefined ? [] : [renderUpload(upload)]),
    ...(latency === undefined ? [] : [renderLatency(latency)]),
    ...(scale === undefined ? [] : [renderScale(scale)]),
  ].join('\n\n');
}

function renderUpload(figures: UploadFigures): string {
  const { files, bytes, seconds, unchangedPuts, unchangedRequests, rclone } = figures;
  const rate = (value: number) => (bytes / 1e6 / value).toFixed(0);
  const share = 0.02;
  return [
    `One node: ${(bytes / 1e9).toFixed(2)} GB in ${files} files to an S3 gateway, 8 objects at once; Holdfast with SHA-256 of every file, ${rclone} beside it in the same run.`,
    '',
    '| what | seconds | MB/s |',
    '|---|---|---|',
    `| holdfast, everything | ${seconds.first.toFixed(2)} | ${rate(seconds.first)} |`,
    `| rclone copy, everything | ${seconds.rcloneFirst.toFixed(2)} | ${rate(seconds.rcloneFirst)} |`,
    `| holdfast, nothing changed (${unchangedRequests} requests) | ${seconds.unchanged.toFixed(2)} | |`,
    `| rclone copy, nothing changed | ${seconds.rcloneUnchanged.toFixed(2)} | |`,
    `| holdfast, 2 % of the files changed | ${seconds.changed.toFixed(2)} | |`,
    '',
    '| goal | reached | goal |',
    '|---|---|---|',
    `| everything: speed of rclone | ${(seconds.rcloneFirst / seconds.first).toFixed(2)} | at least 1 |`,
    `| nothing changed: faster than rclone | ${(seconds.rcloneUnchanged / seconds.unchanged).toFixed(1)} | at least 20 |`,
    `| nothing changed: data objects put | ${unchangedPuts} | 0 |`,
    `| 2 % changed: time, in shares of everything | ${(seconds.changed / (share * seconds.first)).toFixed(1)} | at most 3 |`,
  ].join('\n');
}

function renderLatency({ rows }: LatencyFigures): string {
  return [
    'Single rows by key, 200 a second, from the PostgreSQL behind the simulated universe, while the agent (nice 10) sends files of 1 MB to an S3 gateway on the same machine.',
    '',
    '| | median | 99 % below | longest | agent sends | agent’s peak |',
    '|---|---|---|---|---|---|',
    ...rows.map(({ what, p50Ms, p99Ms, maxMs, bytesPerSecond, agentPeakBytes }) => {
      const sends = bytesPerSecond === undefined ? '' : `${(bytesPerSecond / 1e6).toFixed(0)} MB/s`;
      const peak = agentPeakBytes === undefined ? '' : `${Math.round(agentPeakBytes / 2 ** 20)} MiB`;
      return `| ${what} | ${p50Ms.toFixed(1)} ms | ${p99Ms.toFixed(1)} ms | ${maxMs.toFixed(0)} ms | ${sends} | ${peak} |`;
    }),
  ].join('\n');
}

function renderScale(figures: readonly ScaleFigures[]): string {
  return [
    'Workflows of one backup, agents and transfers simulated; real Temporal (development server, SQLite), real workflows, real placement.',
    '',
    '| tablets | nodes | seconds | seconds per 1,000 | events per 1,000 | longest history | largest history | largest payload of the parent | workflow worker’s peak |',
    '|---|---|---|---|---|---|---|---|---|',
    ...figures.map((row) => {
      const thousands = row.tablets / 1_000;
      return `| ${row.tablets} | ${row.nodes} | ${row.seconds.toFixed(1)} | ${(row.seconds / thousands).toFixed(2)} | ${Math.round(row.events / thousands)} | ${row.longestHistory} events | ${(row.largestHistoryBytes / 1e6).toFixed(2)} MB | ${(row.largestPayloadOfParent / 1024).toFixed(1)} KiB | ${Math.round(row.workerPeakBytes / 2 ** 20)} MiB |`;
    }),
    '| goal | | | linear | linear | 10,000 | 5 MB | 256 KiB | 512 MiB |',
  ].join('\n');
}
