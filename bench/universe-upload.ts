import { randomFillSync } from 'node:crypto';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { NodeAgent } from '../engines/universe/agent/node-agent.ts';
import type { TabletName } from '../model/tablets.ts';
import { startS3Gateway } from '../parts/s3.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import type { Store } from '../repository/store.ts';
import { Rclone } from './rclone.ts';
import {
  CONCURRENCY,
  FILES_PER_TABLET,
  folderOf,
  locationIn,
  openStore,
  save,
  snapshotAgain,
  writeTablets,
} from './universe-node.ts';

export interface UploadFigures {
  readonly files: number;
  readonly bytes: number;
  readonly seconds: {
    readonly first: number;
    readonly unchanged: number;
    readonly changed: number;
    readonly rcloneFirst: number;
    readonly rcloneUnchanged: number;
  };
  /** How many data objects the second backup of unchanged files put, and how many requests it made in all. */
  readonly unchangedPuts: number;
  readonly unchangedRequests: number;
  readonly rclone: string;
}

const BYTES = 5e9;
const FILES = 20_000;
const CHANGED_SHARE = 0.02;

/** Compares the agent and rclone in one run: each sends one node's files to an S3 gateway. @param scale 1: 5 GB in 20,000 files. */
export async function benchUpload(scale: number, say: (line: string) => void): Promise<UploadFigures> {
  await using cleanUp = new AsyncDisposableStack();
  const scratch = await createScratchFolder('bench-universe');
  cleanUp.defer(() => scratch.remove());
  const buckets = join(scratch.path, 'buckets');
  const gateway = await startS3Gateway({ directory: buckets });
  cleanUp.defer(() => gateway.stop());
  for (const bucket of ['holdfast', 'rclone']) await gateway.createBucket(bucket);
  const location = locationIn(gateway, 'holdfast');
  const s3 = await openStore(location);
  cleanUp.defer(() => s3.close());

  const files = Math.round((FILES * scale) / FILES_PER_TABLET) * FILES_PER_TABLET;
  const fileBytes = Math.round(BYTES / FILES);
  say(`writing ${files} files of ${fileBytes} bytes …`);
  const disk = join(scratch.path, 'disk');
  const tablets = await writeTablets(disk, files, fileBytes);
  const node = {
    stateDirectory: join(scratch.path, 'state'),
    address: '127.0.0.1:9100',
    dataDirectories: [disk],
  };
  // One agent serves all backups, as in production.
  const agent = new NodeAgent(node);
  let backups = 0;
  const backup = async (names: readonly TabletName[]) => {
    const counted = counting(s3);
    const startedAt = performance.now();
    const summaries = await save(agent, counted.store, location, `backup-${++backups}`, names);
    return { seconds: (performance.now() - startedAt) / 1_000, summaries, calls: counted.calls };
  };

  const rclone = await Rclone.configured(join(scratch.path, 'rclone.conf'), gateway, {
    bucket: 'rclone',
    concurrency: CONCURRENCY,
  });
  const live = join(disk, 'yb-data');
  say('rclone, everything …');
  const rcloneFirst = await rclone.copy(live);
  say('rclone, nothing to do …');
  const rcloneUnchanged = await rclone.copy(live);
  // Saves disk space: three copies at full size are 15 GB.
  await rm(join(buckets, 'rclone'), { recursive: true });
  say('holdfast, everything …');
  const first = await backup(tablets);
  say('holdfast, nothing to do …');
  const unchanged = await backup(await snapshotAgain(disk, tablets));
  say('holdfast, 2 % changed …');
  const next = await snapshotAgain(disk, tablets);
  await change(disk, next, CHANGED_SHARE, fileBytes);
  const changed = await backup(next);
  return {
    files,
    bytes: files * fileBytes,
    seconds: {
      first: first.seconds,
      unchanged: unchanged.seconds,
      changed: changed.seconds,
      rcloneFirst,
      rcloneUnchanged,
    },
    unchangedPuts: unchanged.calls.objects,
    unchangedRequests: unchanged.calls.all,
    rclone: await rclone.version(),
  };
}

/** Replaces some files by new ones, evenly, like compactions here and there. */
async function change(
  disk: string,
  tablets: readonly TabletName[],
  share: number,
  fileBytes: number,
): Promise<void> {
  const every = Math.round(1 / share);
  const body = Buffer.allocUnsafe(fileBytes);
  let count = 0;
  for (const name of tablets) {
    const folder = folderOf(disk, name);
    for (const file of await readdir(folder)) {
      if (count++ % every !== 0) continue;
      const path = join(folder, file);
      await rm(path);
      await writeFile(`${path}.new`, randomFillSync(body));
      await rename(`${path}.new`, path);
    }
  }
}

function counting(inner: Store): { readonly store: Store; readonly calls: { objects: number; all: number } } {
  const calls = { objects: 0, all: 0 };
  const store: Store = {
    description: inner.description,
    put: (key, body, options) => {
      calls.all += 1;
      if (key.startsWith('objects/')) calls.objects += 1;
      return inner.put(key, body, options);
    },
    get: (key, options) => {
      calls.all += 1;
      return inner.get(key, options);
    },
    head: (key, options) => {
      calls.all += 1;
      return inner.head(key, options);
    },
    list: (prefix, options) => {
      calls.all += 1;
      return inner.list(prefix, options);
    },
    folders: (folder, options) => inner.folders(folder, options),
    delete: (keys, options) => inner.delete(keys, options),
    discardUnfinished: (options) => inner.discardUnfinished(options),
    close: () => inner.close(),
  };
  return { store, calls };
}
