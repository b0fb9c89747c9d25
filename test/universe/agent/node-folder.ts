import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BackupContext } from '../../../engines/engine.ts';
import { quietVerb } from '../../../engines/quiet-verb.ts';
import { NodeAgent } from '../../../engines/universe/agent/node-agent.ts';
import type { BackupRef } from '../../../model/backup.ts';
import type { TabletName } from '../../../model/tablets.ts';
import { backupFolder } from '../../../repository/layout.ts';
import type { Store } from '../../../repository/store.ts';
import { formatDirectories } from '../simulator/instances.ts';

/** A tablet server's data directories as its agent finds them, filled by the test; without a tablet server. */
export interface NodeFolder {
  readonly path: string;
  readonly disks: readonly string[];
  readonly agent: NodeAgent;
}

export const REF = {
  repository: { name: 'main', location: { kind: 'directory' as const, path: '/nowhere' } },
  plan: 'orders',
  backup: '20261124T020000Z-tablets',
};

export const LIMITS = { tasksPerNode: 2, filesPerDisk: 4 };

export async function makeNode(path: string, disks = 2, address = '127.0.0.1:9100'): Promise<NodeFolder> {
  const directories = Array.from({ length: disks }, (_, disk) => join(path, `disk-${disk}`));
  for (const directory of directories) await mkdir(directory, { recursive: true });
  formatDirectories({ uuid: hex(32), host: '127.0.0.1', dataDirectories: directories });
  return { path, disks: directories, agent: agentOf(path, directories, address) };
}

/** Another process of the same agent: it knows what its predecessor wrote down. */
export function agentOf(
  path: string,
  dataDirectories: readonly string[],
  address = '127.0.0.1:9100',
): NodeAgent {
  return new NodeAgent({ address, dataDirectories, stateDirectory: join(path, 'state') });
}

export function hex(length: number): string {
  return randomBytes(length / 2).toString('hex');
}

export function newTablet(): TabletName {
  const uuid = [8, 4, 4, 4, 12].map(hex).join('-');
  return { tablet: hex(32), table: hex(32), snapshot: uuid };
}

export function liveFolder(disk: string, { table, tablet }: TabletName): string {
  return join(disk, 'yb-data/tserver/data/rocksdb', `table-${table}`, `tablet-${tablet}`);
}

export function snapshotFolder(disk: string, name: TabletName): string {
  return join(`${liveFolder(disk, name)}.snapshots`, name.snapshot);
}

/** Writes the tablet's files, and the snapshot as hard links to them, as a checkpoint is. */
export async function writeTablet(
  disk: string,
  name: TabletName,
  files: Readonly<Record<string, Uint8Array>>,
): Promise<void> {
  for (const [path, bytes] of Object.entries(files)) {
    const live = join(liveFolder(disk, name), path);
    const snapshot = join(snapshotFolder(disk, name), path);
    for (const file of [live, snapshot]) await mkdir(dirname(file), { recursive: true });
    await writeFile(live, bytes);
    await link(live, snapshot);
  }
}

/** A second snapshot of the same files. */
export async function snapshotAgain(disk: string, name: TabletName): Promise<TabletName> {
  const next = { ...name, snapshot: newTablet().snapshot };
  for (const [path] of Object.entries(await filesIn(snapshotFolder(disk, name)))) {
    const file = join(snapshotFolder(disk, next), path);
    await mkdir(dirname(file), { recursive: true });
    await link(join(snapshotFolder(disk, name), path), file);
  }
  return next;
}

/** Content in hex by path. */
export async function filesIn(folder: string): Promise<Readonly<Record<string, string>>> {
  const files: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true })) {
    const file = join(folder, entry);
    if ((await stat(file)).isFile()) files[entry] = (await readFile(file)).toString('hex');
  }
  return files;
}

export function contextOf(
  store: Store,
  signal = new AbortController().signal,
  ref: BackupRef = REF,
): BackupContext {
  return {
    ...quietVerb(() => Promise.reject(new Error('no secret is needed')), signal),
    ref,
    store,
    folder: backupFolder(ref),
  };
}

/** Counts what is asked of a store. */
export function counting(inner: Store): { readonly store: Store; readonly calls: Record<string, number> } {
  const calls: Record<string, number> = {};
  const count = (name: string) => {
    calls[name] = (calls[name] ?? 0) + 1;
  };
  const store: Store = {
    description: inner.description,
    put: (key, body, options) => {
      count(`put ${key.split('/')[0]}`);
      return inner.put(key, body, options);
    },
    get: (key, options) => {
      count(`get ${key.split('/')[0]}`);
      return inner.get(key, options);
    },
    head: (key, options) => {
      count('head');
      return inner.head(key, options);
    },
    list: (prefix, options) => {
      count('list');
      return inner.list(prefix, options);
    },
    folders: (folder, options) => inner.folders(folder, options),
    delete: (keys, options) => inner.delete(keys, options),
    discardUnfinished: (options) => inner.discardUnfinished(options),
    close: () => inner.close(),
  };
  return { store, calls };
}
