import { constants } from 'node:fs';
import { access, type FileHandle, lstat, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { defined } from '../../../model/defined.ts';
import { HoldfastError, messageOf } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import type { UniverseLimits } from '../../../model/pipeline.ts';
import type {
  FillSummary,
  NodeInspection,
  NodeReport,
  SavedTablet,
  SharedObject,
  TabletFile,
  TabletFill,
  TabletList,
} from '../../../model/tablets.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import { BoundedCache } from '../../../repository/bounded-cache.ts';
import { readTabletList } from '../../../repository/objects/tablet-lists.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { damaged } from '../../../repository/store-errors.ts';
import type { BackupContext } from '../../engine.ts';
import {
  filePathParts,
  filesBelow,
  findFolder,
  makeFolder,
  snapshotFolderParts,
  tabletFolderParts,
} from './folders.ts';
import type { NodeAgent } from './node-agent.ts';
import { readFully } from './read-fully.ts';

/** The request to put files of a backup's tablets on this node. */
export interface FillRequest {
  readonly tablets: readonly TabletFill[];
  readonly limits: UniverseLimits;
  /** What this node may fetch in a second. */
  readonly bytesPerSecond?: number;
  /** UUID of the tablet server that has the replicas; absent in runs that an earlier version began. */
  readonly server?: string;
}

/** The request to list what is still to be filled. */
export type UnfilledRequest = Pick<FillRequest, 'tablets' | 'server'>;

/** Tablet lists that stay in memory, by SHA-256: about four full ones. */
const lists = new BoundedCache<TabletList>(40 * 1024 * 1024);

/** Suffix of a folder that is being filled. YugabyteDB uses it for its own unfinished folders, so it takes none for a snapshot. */
const UNDER_WAY = '.tmp';

/**
 * Puts the files of the backup's tablets where the restored snapshot's tablets look for them. Checks each file's SHA-256. Fills a folder beside the
 * target, and renames it when it is whole. A retry fetches only what is not whole yet. `left` of the result names tablets that are not on this
 * node.
 */
export async function fillTablets(
  agent: NodeAgent,
  context: BackupContext,
  manifest: Manifest,
  request: FillRequest,
): Promise<FillSummary> {
  return agent.runTask(request, async () => {
    const roots = await agent.provenRoots(context.signal, request.server);
    const left: FillSummary['left'][number][] = [];
    let filled = 0;
    let bytes = 0;
    let fetchedBytes = 0;
    for (const fill of request.tablets) {
      context.signal.throwIfAborted();
      const { objects, tablet } = await savedTablet(context, manifest, fill);
      const live = findFolder(roots, tabletFolderParts(fill));
      if (live === undefined) {
        const reason = ['the tablet is not on this node', ...roots.problems].join('; ');
        left.push({ tablet: fill.tablet, reason });
        continue;
      }
      const target = join(live.root, ...snapshotFolderParts(fill));
      if (!(await isWhole(agent, context, target, tablet))) {
        const filling = { agent, context, objects, tablet, root: live.root, fill, limits: request.limits };
        fetchedBytes += await fillOne(filling, (sum) =>
          context.heartbeat({ filled, fetchedBytes: fetchedBytes + sum }),
        );
      }
      filled += 1;
      for (const { sizeBytes } of tablet.files) bytes += sizeBytes;
      context.heartbeat({ filled, fetchedBytes });
    }
    return { filled, bytes, fetchedBytes, left };
  });
}

/** Which of the tablets don't have their whole folder on this node: every file with its size and SHA-256. */
export async function unfilledTablets(
  agent: NodeAgent,
  context: BackupContext,
  manifest: Manifest,
  { tablets, server }: UnfilledRequest,
): Promise<readonly string[]> {
  const roots = await agent.provenRoots(context.signal, server);
  const unfilled: string[] = [];
  for (const fill of tablets) {
    const { tablet } = await savedTablet(context, manifest, fill);
    const folder = findFolder(roots, snapshotFolderParts(fill));
    if (folder === undefined || !(await isWhole(agent, context, folder.path, tablet)))
      unfilled.push(fill.tablet);
    context.heartbeat();
  }
  return unfilled;
}

/** Reports which tablet server the agent's directories belong to, their free space, and what keeps the agent from filling tablets. */
export async function inspectNode(
  agent: NodeAgent,
  { server, tablets = [] }: NodeInspection,
  signal: AbortSignal,
): Promise<NodeReport> {
  const directories: { path: string; freeBytes: number }[] = [];
  const problems: string[] = [];
  const missing: string[] = [];
  let owner: string | undefined;
  try {
    const roots = await agent.provenRoots(signal, server);
    owner = roots.owner;
    for (const tablet of tablets) {
      if (findFolder(roots, tabletFolderParts(tablet)) === undefined) missing.push(tablet.tablet);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof HoldfastError)) throw error;
    problems.push(`${error.message}. ${error.remedy}`);
  }
  for (const path of await agent.dataDirectories(signal)) {
    try {
      const { bavail, bsize } = await statfs(path);
      directories.push({ path, freeBytes: bavail * bsize });
      const rocksdb = join(path, 'yb-data/tserver/data/rocksdb');
      await access(rocksdb, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      problems.push(`${agent.address}: ${messageOf(error)}`);
    }
  }
  return {
    address: agent.address,
    directories,
    problems,
    ...defined({ server: owner }),
    ...(missing.length === 0 ? {} : { missing }),
  };
}

interface Filling {
  readonly agent: NodeAgent;
  readonly context: BackupContext;
  readonly objects: TabletList['objects'];
  readonly tablet: SavedTablet;
  readonly root: string;
  readonly fill: TabletFill;
  readonly limits: UniverseLimits;
}

/** @returns the bytes that were fetched. */
async function fillOne(filling: Filling, report: (fetchedBytes: number) => void): Promise<number> {
  const { agent, context, tablet, root, fill, limits } = filling;
  const parts = snapshotFolderParts(fill);
  const target = join(root, ...parts);
  const name = `${parts.at(-1)}${UNDER_WAY}`;
  const folder = await makeFolder(root, [...parts.slice(0, -1), name]);
  const disk = agent.limiterOf(`disk ${root}`, limits.filesPerDisk);
  let fetchedBytes = 0;
  const missing = await filesNotWhole(agent, context, folder, tablet.files);
  await forEachBounded(groupsOf(missing), limits.filesPerDisk, (group) =>
    disk.run(async () => {
      context.signal.throwIfAborted();
      for (const { path } of group) await makeFolder(folder, filePathParts(path).slice(0, -1));
      fetchedBytes += await fetchGroup(filling, folder, group);
      report(fetchedBytes);
    }),
  );
  const wanted = new Set(tablet.files.map(({ path }) => path));
  for (const { path, absolute } of filesBelow(folder)) {
    // Left by an attempt that was cut off, or named by a manifest that was corrected since.
    if (!wanted.has(path)) await rm(absolute);
  }
  // Only Holdfast writes the target: an imported snapshot's id is used once, and only whole folders get the name.
  await rm(target, { recursive: true, force: true });
  await rename(folder, target);
  await syncFolder(dirname(target));
  return fetchedBytes;
}

/** Groups small files of one object, which are fetched in one request. A large file has a group alone. */
function groupsOf(files: readonly TabletFile[]): readonly (readonly TabletFile[])[] {
  const groups = new Map<string, TabletFile[]>();
  for (const file of files) {
    const [only, ...more] = file.parts;
    const key = only === undefined || more.length > 0 ? `file ${file.path}` : `object ${only.object}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [file]);
    else group.push(file);
  }
  return [...groups.values()];
}

async function fetchGroup(filling: Filling, folder: string, group: readonly TabletFile[]): Promise<number> {
  const { objects } = filling;
  const [first] = group;
  const part = first?.parts[0];
  if (first === undefined) return 0;
  if (part === undefined || first.parts.length > 1) return fetchInParts(filling, folder, first);
  const object = objectOf(objects, part.object, first);
  const places = group.flatMap(({ parts }) => parts);
  const start = Math.min(...places.map(({ offset }) => offset));
  const end = Math.max(...places.map(({ offset, sizeBytes }) => offset + sizeBytes));
  const bytes = await getRange(filling, object, start, end);
  for (const file of group) {
    const [{ offset, sizeBytes } = part] = file.parts;
    const own = bytes.subarray(offset - start, offset - start + sizeBytes);
    await writeWhole(folder, file, checked(own, file, object, filling));
  }
  return bytes.byteLength;
}

/** Continues an earlier attempt: parts that are there and right are not fetched again. */
async function fetchInParts(filling: Filling, folder: string, file: TabletFile): Promise<number> {
  const target = join(folder, ...filePathParts(file.path));
  const partial = `${target}${PARTIAL}`;
  let fetchedBytes = 0;
  {
    await using handle = await open(
      partial,
      constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
      0o640,
    );
    let position = 0;
    for (const { object: place, offset, sizeBytes, sha256 } of file.parts) {
      if (!(await holds(handle, position, { sizeBytes, sha256 }))) {
        const object = objectOf(filling.objects, place, file);
        const bytes = await getRange(filling, object, offset, offset + sizeBytes);
        await writeAt(handle, position, checked(bytes, { sha256, path: file.path }, object, filling));
        fetchedBytes += sizeBytes;
      }
      position += sizeBytes;
    }
    await handle.truncate(position);
    await handle.datasync();
  }
  await rename(partial, target);
  return fetchedBytes;
}

async function holds(
  handle: FileHandle,
  position: number,
  { sizeBytes, sha256 }: { readonly sizeBytes: number; readonly sha256: string },
): Promise<boolean> {
  if ((await handle.stat()).size < position + sizeBytes) return false;
  const bytes = await readFully(handle, position, sizeBytes);
  return bytes !== undefined && sha256Hex(bytes) === sha256;
}

async function writeAt(handle: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(
      bytes,
      written,
      bytes.byteLength - written,
      position + written,
    );
    written += bytesWritten;
  }
}

async function getRange(
  { agent, context }: Filling,
  object: SharedObject,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const { store, signal } = context;
  await agent.limit.take(end - start, signal);
  return store.get(object.key, { range: { start, end }, signal });
}

function checked(
  bytes: Uint8Array,
  expected: { readonly sha256: string; readonly path: string },
  object: SharedObject,
  { context }: Filling,
): Uint8Array {
  const found = sha256Hex(bytes);
  if (found === expected.sha256) return bytes;
  throw damaged(
    object.key,
    context.store.description,
    `the file ${expected.path} in it has the SHA-256 ${found}`,
  );
}

/** The file gets its name when all of it is on the disk. */
async function writeWhole(folder: string, { path }: TabletFile, body: Uint8Array): Promise<void> {
  const file = join(folder, ...filePathParts(path));
  const partial = `${file}${PARTIAL}`;
  await rm(partial, { force: true });
  {
    await using handle = await open(
      partial,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o640,
    );
    await handle.writeFile(body);
    await handle.datasync();
  }
  await rename(partial, file);
}

const PARTIAL = '.holdfast-part';

/** The files that are missing, or have another size or SHA-256. */
async function filesNotWhole(
  agent: NodeAgent,
  { heartbeat, signal }: BackupContext,
  folder: string,
  files: readonly TabletFile[],
): Promise<readonly TabletFile[]> {
  const present = new Map(filesBelow(folder).map((file) => [file.path, file]));
  const missing: TabletFile[] = [];
  for (const file of files) {
    const found = present.get(file.path);
    if (found?.sizeBytes !== file.sizeBytes || !(await agent.proven.has(found, file.sha256, signal))) {
      missing.push(file);
    }
    heartbeat();
  }
  return missing;
}

async function isWhole(
  agent: NodeAgent,
  context: BackupContext,
  folder: string,
  { files }: SavedTablet,
): Promise<boolean> {
  try {
    if (!(await lstat(folder)).isDirectory()) return false;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
  return (await filesNotWhole(agent, context, folder, files)).length === 0;
}

async function savedTablet(
  { store, ref }: BackupContext,
  manifest: Manifest,
  { from, list: place }: TabletFill,
): Promise<{ readonly objects: TabletList['objects']; readonly tablet: SavedTablet }> {
  const entry = manifest.tablets?.lists[place];
  const list =
    entry === undefined ? undefined : await lists.get(entry.sha256, () => readTabletList(store, ref, entry));
  const tablet = list?.tablets.find((saved) => saved.tablet === from);
  if (list !== undefined && tablet !== undefined) return { objects: list.objects, tablet };
  throw damaged(entry?.key ?? 'manifest.json', store.description, `it does not tell of the tablet ${from}`);
}

function objectOf(objects: TabletList['objects'], place: number, file: TabletFile): SharedObject {
  const object = objects[place];
  if (object === undefined) throw new RangeError(`${file.path} lies in no object of its list`);
  return object;
}

async function syncFolder(path: string): Promise<void> {
  await using handle = await open(path, constants.O_RDONLY);
  await handle.sync();
}
