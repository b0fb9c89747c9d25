import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { fetchRelease } from '../../parts/release.ts';
import { withScratchFolder, writeProgram } from '../support/scratch.ts';

/** A server of releases on this machine. */
async function served<T>(answer: RequestListener, use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/program.tar.gz`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function archiveIn(folder: string): Promise<Buffer> {
  await writeProgram(path.join(folder, 'made'), 'program', 'echo ran');
  const archive = path.join(folder, 'made.tar.gz');
  await promisify(execFile)('tar', ['-czf', archive, '-C', path.join(folder, 'made'), 'program']);
  return await readFile(archive);
}

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('a release of a program', () => {
  it('is downloaded, compared with its hash, and unpacked', () =>
    withScratchFolder(async (folder) => {
      const archive = await archiveIn(folder);
      const into = path.join(folder, 'made');
      await served(
        (_request, response) => response.end(archive),
        async (url) => {
          const release = { url, sha256: hashOf(archive) };
          const how = { name: 'program', binary: 'program', into, report: () => undefined };
          expect(await fetchRelease(release, how)).toBeUndefined();
        },
      );
      expect(await readdir(into)).toEqual(['program']);
      const { stdout } = await promisify(execFile)(path.join(into, 'program'));
      expect(stdout).toBe('ran\n');
    }));

  it.each<[string, RequestListener, RegExp]>([
    ['another content', (_request, response) => response.end('<html>log in</html>'), /is not that release/],
    ['an error', (_request, response) => response.writeHead(403).end(), /HTTP 403/],
    ['an end in the middle', (_request, response) => cutOff(response), /terminated|aborted|closed/],
  ])('is not taken where the answer is %s, and nothing is left', (_what, answer, problem) =>
    withScratchFolder(async (folder) => {
      await served(answer, async (url) => {
        const how = { name: 'program', binary: 'program', into: folder, report: () => undefined };
        expect(await fetchRelease({ url, sha256: hashOf(Buffer.from('it')) }, how)).toMatch(problem);
      });
      expect(await readdir(folder)).toEqual([]);
    }),
  );
});

function cutOff(response: Parameters<RequestListener>[1]): void {
  response.writeHead(200, { 'content-length': '1000' });
  response.write('half', () => response.destroy());
}
