import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { barOf, formatBytes } from '../model/amounts.ts';
import { messageOf } from '../model/errors.ts';
import { programEnvironment } from '../model/program-environment.ts';
import { progressLines, type Report } from './report.ts';

const ANSWER_TIMEOUT_MS = 5_000;
const STALL_TIMEOUT_MS = 30_000;

/** A program's archive (`.tar.gz`) as its makers publish it, for one platform. */
export type Release = {
  readonly url: string;
  /** Of the archive, in hex. */
  readonly sha256: string;
};

/**
 * Downloads a release into the folder `into`, and takes the file `binary` out of it. Nothing is taken of an archive whose SHA-256 is another one.
 *
 * @param name of the program, in messages
 * @returns undefined, or why it could not be had. Each reason completes a sentence
 */
export async function fetchRelease(
  { url, sha256 }: Release,
  { name, binary, into, report }: { name: string; binary: string; into: string; report: Report },
): Promise<string | undefined> {
  const archive = path.join(into, 'release.tar.gz');
  try {
    const found = await download(url, archive, progressLines(name, report));
    if (found !== sha256) return `what ${url} gave is not that release (its SHA-256 is ${found})`;
    await promisify(execFile)('tar', ['--no-same-owner', '-xzf', archive, '-C', into, binary], {
      env: programEnvironment(process.env),
    });
    return undefined;
  } catch (error) {
    // Node's own words are "fetch failed"; what failed is its cause.
    return `${url}: ${messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error)}`;
  } finally {
    await rm(archive, { force: true });
  }
}

/** Writes the answer into `file`. Returns its SHA-256. A server that is silent for long is given up. */
async function download(
  url: string,
  file: string,
  progress: ReturnType<typeof progressLines>,
): Promise<string> {
  const silence = new AbortController();
  const patience = (ms: number) =>
    setTimeout(() => silence.abort(new Error(`no answer for ${ms / 1000} s`)), ms);
  let timer = patience(ANSWER_TIMEOUT_MS);
  try {
    const response = await fetch(url, { signal: silence.signal });
    if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
    const total = Number(response.headers.get('content-length') ?? 0);
    const hash = createHash('sha256');
    let received = 0;
    progress.show(() => `${barOf(total === 0 ? 0 : received / total)} ${formatBytes(received)} downloaded`);
    await pipeline(
      Readable.fromWeb(response.body),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          clearTimeout(timer);
          timer = patience(STALL_TIMEOUT_MS);
          received += chunk.length;
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(file),
    );
    return hash.digest('hex');
  } finally {
    clearTimeout(timer);
    progress.end();
  }
}
