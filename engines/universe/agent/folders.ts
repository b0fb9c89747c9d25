import { lstatSync, readdirSync } from 'node:fs';
import { lstat, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, permanent } from '../../../model/errors.ts';
import { isTabletFilePath, type TabletName } from '../../../model/tablets.ts';

/** Where a tablet server keeps its tablets below each of its data directories (facts of YugabyteDB's `fs_manager.cc`). */
const ROCKSDB = ['yb-data', 'tserver', 'data', 'rocksdb'] as const;

/** A table's id. That of a colocated or tablegroup parent has words after it. */
const TABLE_ID = /^[0-9a-f]{32}(?:\.[a-z]+){0,4}$/;
const TABLET_ID = /^[0-9a-f]{32}$/;
const SNAPSHOT_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const MAX_PATH_PARTS = 8;

/** One file of a snapshot's folder, as `lstat` saw it. */
export interface FoundFile {
  /** Within the folder, `/`-separated. */
  readonly path: string;
  readonly absolute: string;
  readonly sizeBytes: number;
  /** The same for every hard link of the same bytes: device, inode, size and time of change. */
  readonly identity: string;
}

/**
 * Parts of the path of a tablet's folder below a data directory. Refuses what is no id, so that an id from elsewhere (a universe, a manifest) can't
 * lead out of the data directory. Throws `AGENT_BAD_NAME` (permanent).
 */
export function tabletFolderParts({ table, tablet }: Omit<TabletName, 'snapshot'>): readonly string[] {
  if (!TABLE_ID.test(table)) throw badName(table, 'the id of a table');
  if (!TABLET_ID.test(tablet)) throw badName(tablet, 'the id of a tablet');
  return [...ROCKSDB, `table-${table}`, `tablet-${tablet}`];
}

/** Parts of the path of a tablet's snapshot folder. Throws as `tabletFolderParts`. */
export function snapshotFolderParts(name: TabletName): readonly string[] {
  if (!SNAPSHOT_ID.test(name.snapshot)) throw badName(name.snapshot, 'the id of a snapshot');
  const parts = tabletFolderParts(name);
  return [...parts.slice(0, -1), `${parts.at(-1)}.snapshots`, name.snapshot];
}

/** Checks a file's path in a manifest. Throws `AGENT_BAD_NAME` (permanent) for one that could lead out of its folder. */
export function filePathParts(path: string): readonly string[] {
  if (!isTabletFilePath(path)) throw badName(path, 'a file of a tablet');
  return path.split('/');
}

/** The real paths of the data directories, whose names may be symbolic links, and what is wrong with those that have none. */
export interface Roots {
  readonly roots: readonly string[];
  readonly problems: readonly string[];
}

/** Resolves the data directories. One on a disk that fails, or is not mounted, doesn't keep the agent from the others. */
export async function rootsOf(dataDirectories: readonly string[]): Promise<Roots> {
  const roots: string[] = [];
  const problems: string[] = [];
  for (const directory of dataDirectories) {
    try {
      roots.push(await realpath(directory));
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  return { roots, problems };
}

/**
 * The folder `parts` below one of the roots; undefined if no root has it. Follows no symbolic link below a root: throws `AGENT_SYMBOLIC_LINK`
 * (permanent) if one is in the way. Synchronous, for the reason that `filesBelow` has.
 */
export function findFolder(
  { roots }: Roots,
  parts: readonly string[],
): { readonly root: string; readonly path: string } | undefined {
  const root = roots.find((each) => isFolderBelow(each, parts));
  return root === undefined ? undefined : { root, path: join(root, ...parts) };
}

function isFolderBelow(root: string, parts: readonly string[]): boolean {
  let path = root;
  for (const part of parts) {
    path = join(path, part);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return false;
    if (found.isSymbolicLink()) throw symbolicLink(path);
    if (!found.isDirectory()) return false;
  }
  return true;
}

/** Makes the folder `parts` below `root` if it is missing. Treats symbolic links as `findFolder` does. */
export async function makeFolder(root: string, parts: readonly string[]): Promise<string> {
  let path = root;
  for (const part of parts) {
    path = join(path, part);
    const found = await entryAt(path);
    if (found === undefined) await mkdir(path, { recursive: true });
    else if (found.isSymbolicLink()) throw symbolicLink(path);
  }
  return path;
}

/**
 * Every file below `folder`, sorted by path. Refuses symbolic links, and what is neither file nor folder. Synchronous: a local disk answers from
 * memory, and for thousands of files a wait for a thread costs more than the answer.
 */
export function filesBelow(folder: string): readonly FoundFile[] {
  const files: FoundFile[] = [];
  const walk = (within: string, depth: number): void => {
    for (const name of readdirSync(`${folder}/${within}`)) {
      const path = within + name;
      const absolute = `${folder}/${path}`;
      const found = lstatSync(absolute, { bigint: true });
      if (found.isDirectory() && depth < MAX_PATH_PARTS) walk(`${path}/`, depth + 1);
      else if (found.isFile()) {
        const { dev, ino, size, mtimeNs } = found;
        files.push({ path, absolute, sizeBytes: Number(size), identity: `${dev}:${ino}:${size}:${mtimeNs}` });
      } else throw symbolicLink(absolute);
    }
  };
  walk('', 1);
  return files.sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function entryAt(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function badName(name: string, what: string): Error {
  return permanent(
    'AGENT_BAD_NAME',
    `${JSON.stringify(name.slice(0, 200))} is not ${what}; the agent touches nothing under such a name`,
    'Find out who wrote it: the universe, or the backup’s lists.',
  );
}

function symbolicLink(path: string): Error {
  return permanent(
    'AGENT_SYMBOLIC_LINK',
    `${path} is a symbolic link or a special file; the agent reads plain files and folders below the data directories only`,
    'Remove it, or name the directory that it points to with --data-dirs.',
  );
}
