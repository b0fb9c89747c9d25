import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { link, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { NodeAgent } from '../activities/universe/agent/node-agent.ts';
import { saveTablets } from '../activities/universe/agent/save-tablets.ts';
import type { SaveSummary, TabletName } from '../model/tablets.ts';
import { startS3Gateway } from '../parts/s3.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { forEachBounded } from '../repository/bounded.ts';
import { backupFolder } from '../repository/layout.ts';
import { S3Store } from '../repository/s3.ts';
import type { Store } from '../repository/store.ts';

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
  /** Objects of data put by the second backup of unchanged files, and requests that it made in all. */
  readonly unchangedPuts: number;
  readonly unchangedRequests: number;
  readonly rclone: string;
}

const BYTES = 5e9;
const FILES = 20_000;
const FILES_PER_TABLET = 40;
const TABLETS_PER_TASK = 16;
const TASKS_AT_ONCE = 2;
/** Objects under way at once: two tasks with four each, and rclone's `--transfers`. */
const CONCURRENCY = 8;
const CHANGED_SHARE = 0.02;

/** One node's files to an S3 gateway, by its agent and by rclone, in one run. @param scale 1: 5 GB in 20,000 files. */
export async function benchUpload(scale: number, say: (line: string) => void): Promise<UploadFigures> {
  await using cleanUp = new AsyncDisposableStack();
  const scratch = await createScratchFolder('bench-universe');
  cleanUp.defer(() => scratch.remove());
  const buckets = join(scratch.path, 'buckets');
  const gateway = await startS3Gateway({ directory: buckets });
  cleanUp.defer(() => gateway.stop());
  for (const bucket of ['holdfast', 'rclone']) await gateway.createBucket(bucket);
  process.env.BENCH_KEY = gateway.accessKeyId;
  process.env.BENCH_SECRET = gateway.secretAccessKey;
  const location = {
    kind: 's3' as const,
    bucket: 'holdfast',
    prefix: '',
    endpoint: gateway.endpoint,
    region: gateway.region,
    forcePathStyle: true,
    credentials: { accessKeyId: { env: 'BENCH_KEY' }, secretAccessKey: { env: 'BENCH_SECRET' } },
  };
  const s3 = await S3Store.open(location, async (reference) =>
    'env' in reference ? (process.env[reference.env] ?? '') : '',
  );
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
  // One process for all backups, as an agent is.
  const agent = new NodeAgent(node);
  let backups = 0;
  const backup = async (names: readonly TabletName[]) => {
    const counted = counting(s3);
    const startedAt = performance.now();
    const summaries = await save(agent, counted.store, location, `backup-${++backups}`, names);
    return { seconds: (performance.now() - startedAt) / 1_000, summaries, calls: counted.calls };
  };

  const rclone = new Rclone(join(scratch.path, 'rclone.conf'), gateway);
  await rclone.configure();
  const live = join(disk, 'yb-data');
  say('rclone, everything …');
  const rcloneFirst = await rclone.copy(live);
  say('rclone, nothing to do …');
  const rcloneUnchanged = await rclone.copy(live);
  // A copy fewer on the disk: three at full size are 15 GB.
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

async function save(
  agent: NodeAgent,
  store: Store,
  location: Parameters<NodeAgent['memory']>[0]['location'],
  backup: string,
  names: readonly TabletName[],
): Promise<readonly SaveSummary[]> {
  const ref = { repository: { name: 'bench', location }, plan: 'bench', backup };
  const context = {
    signal: new AbortController().signal,
    attempt: 1,
    heartbeat: () => undefined,
    log: () => undefined,
    secret: () => Promise.reject(new Error('no secret is needed')),
    ref,
    store,
    folder: backupFolder(ref),
  };
  const limits = { tasksPerNode: TASKS_AT_ONCE, filesPerDisk: CONCURRENCY };
  const tasks = Array.from({ length: Math.ceil(names.length / TABLETS_PER_TASK) }, (_, task) => task);
  const summaries: SaveSummary[] = [];
  await forEachBounded(tasks, TASKS_AT_ONCE, async (task) => {
    const tablets = names.slice(task * TABLETS_PER_TASK, (task + 1) * TABLETS_PER_TASK);
    summaries.push(await saveTablets(agent, context, { epoch: 1, task, piece: 0, tablets, limits }));
  });
  const left = summaries.flatMap((summary) => summary.left);
  if (left.length > 0) throw new Error(`tablets were left: ${JSON.stringify(left.slice(0, 3))}`);
  return summaries;
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
const snapshotId = (number: number) => `00000000-0000-4000-8000-${hex(number, 12)}`;
let snapshots = 0;

function folderOf(disk: string, { table, tablet, snapshot }: TabletName): string {
  const rocksdb = join(disk, 'yb-data/tserver/data/rocksdb');
  return join(rocksdb, `table-${table}`, `tablet-${tablet}.snapshots`, snapshot);
}

/** Incompressible files, as blocks of an SSTable with Snappy or LZ4 nearly are. */
async function writeTablets(disk: string, files: number, fileBytes: number): Promise<readonly TabletName[]> {
  const snapshot = snapshotId(++snapshots);
  const body = Buffer.allocUnsafe(fileBytes);
  const tablets: TabletName[] = [];
  for (let tablet = 0; tablet < files / FILES_PER_TABLET; tablet += 1) {
    const name = { table: hex(tablet % 10, 32), tablet: hex(tablet, 32), snapshot };
    tablets.push(name);
    const folder = folderOf(disk, name);
    await mkdir(folder, { recursive: true });
    for (let file = 0; file < FILES_PER_TABLET; file += 1) {
      await writeFile(join(folder, `${file}.sst.sblock.0`), randomFillSync(body));
    }
  }
  return tablets;
}

async function snapshotAgain(disk: string, tablets: readonly TabletName[]): Promise<readonly TabletName[]> {
  const snapshot = snapshotId(++snapshots);
  const next = tablets.map((name) => ({ ...name, snapshot }));
  for (const [place, name] of tablets.entries()) {
    const from = folderOf(disk, name);
    const to = folderOf(disk, next[place] ?? name);
    await mkdir(dirname(to), { recursive: true });
    await mkdir(to);
    for (const file of await readdir(from)) await link(join(from, file), join(to, file));
  }
  return next;
}

/** New files take the place of some, evenly: a compaction here and there. */
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

class Rclone {
  readonly #config: string;
  readonly #gateway: {
    readonly endpoint: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  };

  constructor(config: string, gateway: Awaited<ReturnType<typeof startS3Gateway>>) {
    this.#config = config;
    this.#gateway = gateway;
  }

  async configure(): Promise<void> {
    const { endpoint, accessKeyId, secretAccessKey } = this.#gateway;
    await writeFile(
      this.#config,
      `[s3]\ntype = s3\nprovider = Other\nendpoint = ${endpoint}\naccess_key_id = ${accessKeyId}\nsecret_access_key = ${secretAccessKey}\nregion = us-east-1\n`,
      { mode: 0o600 },
    );
  }

  async version(): Promise<string> {
    return (await this.#run(['version'])).split('\n')[0] ?? '';
  }

  /** Copies a folder into its bucket; returns the seconds that it took. */
  async copy(folder: string): Promise<number> {
    const startedAt = performance.now();
    await this.#run(['copy', folder, 's3:rclone', `--transfers=${CONCURRENCY}`, `--checkers=${CONCURRENCY}`]);
    return (performance.now() - startedAt) / 1_000;
  }

  async #run(args: readonly string[]): Promise<string> {
    // rclone of Debian fails to read the file that this variable may name.
    const { AWS_CA_BUNDLE: _, ...env } = process.env;
    const { stdout } = await promisify(execFile)('rclone', [...args, '--config', this.#config], { env });
    return stdout;
  }
}
