import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NodeAgent } from '../engines/universe/agent/node-agent.ts';
import { saveTablets } from '../engines/universe/agent/save-tablets.ts';
import type { S3Location } from '../model/pipeline.ts';
import type { SaveSummary, TabletName } from '../model/tablets.ts';
import type { S3Gateway } from '../parts/s3.ts';
import { forEachBounded } from '../repository/bounded.ts';
import { S3Store } from '../repository/s3/store.ts';
import type { Store } from '../repository/store.ts';
import { contextOf } from '../test/universe/agent/node-folder.ts';

export const FILES_PER_TABLET = 40;
const TABLETS_PER_TASK = 16;
const TASKS_AT_ONCE = 2;
/** Objects in transfer at once: two tasks with four each, and rclone's `--transfers`. */
export const CONCURRENCY = 8;

/** Returns the location of a gateway's bucket, and sets the gateway's keys as BENCH_KEY and BENCH_SECRET in the environment. */
export function locationIn(gateway: S3Gateway, bucket: string): S3Location {
  process.env.BENCH_KEY = gateway.accessKeyId;
  process.env.BENCH_SECRET = gateway.secretAccessKey;
  return {
    kind: 's3',
    bucket,
    prefix: '',
    endpoint: gateway.endpoint,
    region: gateway.region,
    forcePathStyle: true,
    credentials: { accessKeyId: { env: 'BENCH_KEY' }, secretAccessKey: { env: 'BENCH_SECRET' } },
  };
}

export function openStore(location: S3Location): Promise<S3Store> {
  return S3Store.open(location, async (reference) =>
    'env' in reference ? (process.env[reference.env] ?? '') : '',
  );
}

/** The most memory that a process had resident so far; Linux only. */
export function peakMemoryBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Saves the tablets as an agent does for `tabletTransfer`. */
export async function save(
  agent: NodeAgent,
  store: Store,
  location: S3Location,
  backup: string,
  names: readonly TabletName[],
  bytesPerSecond?: number,
): Promise<readonly SaveSummary[]> {
  const ref = { repository: { name: 'bench', location }, plan: 'bench', backup };
  const context = contextOf(store, undefined, ref);
  const limits = { tasksPerNode: TASKS_AT_ONCE, filesPerDisk: CONCURRENCY };
  const tasks = Array.from({ length: Math.ceil(names.length / TABLETS_PER_TASK) }, (_, task) => task);
  const summaries: SaveSummary[] = [];
  await forEachBounded(tasks, TASKS_AT_ONCE, async (task) => {
    const tablets = names.slice(task * TABLETS_PER_TASK, (task + 1) * TABLETS_PER_TASK);
    const share = bytesPerSecond === undefined ? {} : { bytesPerSecond };
    summaries.push(
      await saveTablets(agent, context, { epoch: 1, task, piece: 0, tablets, limits, ...share }),
    );
  });
  const left = summaries.flatMap((summary) => summary.left);
  if (left.length > 0) throw new Error(`tablets were left: ${JSON.stringify(left.slice(0, 3))}`);
  return summaries;
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
const snapshotId = (number: number) => `00000000-0000-4000-8000-${hex(number, 12)}`;
let snapshots = 0;

/** Returns the folder of a tablet's snapshot on a disk. */
export function folderOf(disk: string, { table, tablet, snapshot }: TabletName): string {
  const rocksdb = join(disk, 'yb-data/tserver/data/rocksdb');
  return join(rocksdb, `table-${table}`, `tablet-${tablet}.snapshots`, snapshot);
}

/** Writes incompressible files, since blocks of an SSTable with Snappy or LZ4 nearly are. */
export async function writeTablets(
  disk: string,
  files: number,
  fileBytes: number,
): Promise<readonly TabletName[]> {
  const snapshot = snapshotId(++snapshots);
  const body = Buffer.allocUnsafe(fileBytes);
  const tablets: TabletName[] = [];
  for (let tablet = 0; tablet < files / FILES_PER_TABLET; tablet += 1) {
    const name = { table: hex(tablet % 10, 32), tablet: hex(tablet, 32), snapshot };
    tablets.push(name);
    const folder = folderOf(disk, name);
    await mkdir(folder, { recursive: true });
    // RocksDB opens a database by these files.
    await writeFile(join(folder, 'CURRENT'), 'MANIFEST-000001\n');
    await writeFile(join(folder, 'MANIFEST-000001'), 'files');
    for (let file = 0; file < FILES_PER_TABLET; file += 1) {
      await writeFile(join(folder, `${file}.sst.sblock.0`), randomFillSync(body));
    }
  }
  return tablets;
}

/** Takes another snapshot of unchanged tablets, by hard links. */
export async function snapshotAgain(
  disk: string,
  tablets: readonly TabletName[],
): Promise<readonly TabletName[]> {
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
