import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Universe } from './launcher.ts';

/*
 * What the documentation tells an operator to type ("Snapshot and restore data"), with commands and copies by hand: the reference for what
 * the engine does by itself.
 */

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of the universe's programs; never throws because of how it ended. */
export async function program(
  universe: Universe,
  name: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const folder = name.startsWith('ysql_dump') ? '../postgres/bin' : '.';
  try {
    const { stdout, stderr } = await promisify(execFile)(
      path.join(universe.binDirectory, folder, name),
      args,
      {
        env: { ...process.env, TZ: 'UTC', ...environment },
        maxBuffer: 64 * 1024 * 1024,
      },
    );
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (!(error instanceof Error && 'stdout' in error && 'stderr' in error && 'code' in error)) throw error;
    return { code: Number(error.code), stdout: String(error.stdout), stderr: String(error.stderr) };
  }
}

export async function ybAdmin(universe: Universe, ...args: readonly string[]): Promise<Ended> {
  return await program(universe, 'yb-admin', [`--master_addresses=${universe.masters.join(',')}`, ...args]);
}

/** Its stdout; throws what it said when it failed. */
export async function said(universe: Universe, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ybAdmin(universe, ...args);
  if (code !== 0) throw new Error(`yb-admin ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** `{old tablet: new tablet}` and the new snapshot, read with awk's eyes: columns of `import_snapshot`. */
export function mapping(output: string): {
  readonly tablets: ReadonlyMap<string, string>;
  readonly snapshot: string;
} {
  const rows = output.split('\n').map((line) => line.split('\t').map((cell) => cell.trim()));
  return {
    tablets: new Map(
      rows.filter(([label]) => label?.startsWith('Tablet ')).map(([, from = '', to = '']) => [from, to]),
    ),
    snapshot: rows.find(([label]) => label === 'Snapshot')?.[2] ?? '',
  };
}

/** Every folder of this snapshot on any node, by tablet: the first one found of each. */
export async function snapshotFolders(
  universe: Universe,
  snapshot: string,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { dataDirectories } of universe.tservers) {
    for (const disk of dataDirectories) {
      const root = path.join(disk, 'yb-data/tserver/data/rocksdb');
      for (const table of await readdir(root)) {
        for (const entry of await readdir(path.join(root, table))) {
          const [, tablet] = /^tablet-([0-9a-f]{32})\.snapshots$/.exec(entry) ?? [];
          if (tablet === undefined || found.has(tablet)) continue;
          const folder = path.join(root, table, entry, snapshot);
          if (await exists(folder)) found.set(tablet, folder);
        }
      }
    }
  }
  return found;
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch {
    return false;
  }
}

/** Copies the saved folders onto every replica of the tablets that took their place. */
export async function placeFiles(
  universe: Universe,
  saved: string,
  tablets: ReadonlyMap<string, string>,
  snapshot: string,
): Promise<void> {
  const view = await universe.view();
  for (const [from, to] of tablets) {
    const tablet = view.tablets.find(({ id }) => id === to);
    for (const { folder } of tablet?.replicas ?? []) {
      const target = path.join(`${folder}.snapshots`, snapshot);
      await rm(target, { recursive: true, force: true });
      await mkdir(path.dirname(target), { recursive: true });
      await cp(path.join(saved, `tablet-${from}`), target, { recursive: true });
    }
  }
}

/** SHA-256 of every file below, by path. */
export async function digests(folder: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const found = new Map<string, string>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    found.set(
      path.relative(folder, file),
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex'),
    );
  }
  return found;
}
