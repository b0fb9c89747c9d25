import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type StoredRow, sha256 } from './rows.ts';
import type { FileSet, ReplicaState, TabletState } from './state.ts';

/**
 * The tablets' folders in YugabyteDB's layout (facts, section 4): `table-<id>/tablet-<id>` with files that never change once written, and
 * `tablet-<id>.snapshots/<snapshot>` with hard links to them and a MANIFEST of its own.
 */
export function tableFolder(replica: ReplicaState, tableId: string): string {
  return join(replica.directory, 'yb-data/tserver/data/rocksdb', `table-${tableId}`);
}

export function tabletFolder(replica: ReplicaState, tablet: TabletState): string {
  return join(tableFolder(replica, tablet.tableId), `tablet-${tablet.id}`);
}

export function snapshotFolder(replica: ReplicaState, tablet: TabletState, snapshot: string): string {
  return join(`${tabletFolder(replica, tablet)}.snapshots`, snapshot);
}

/** Returns an empty set of files; `seed` decides how rows spread over files. */
export function newFileSet(seed: number): FileSet {
  return { buckets: 5 + (seed % 5), salt: seed, nextNumber: 10 + (seed % 7), files: {} };
}

/** The content of a MANIFEST; a snapshot's copy also has `snapshot`. */
interface ManifestFile {
  readonly format: 'simulated-rocksdb-1';
  readonly table: string;
  readonly tablet: string;
  readonly start: number;
  readonly end: number;
  readonly buckets: number;
  readonly salt: number;
  readonly nextNumber: number;
  readonly snapshot?: string;
  readonly files: FileSet['files'];
  /** For a schedule's snapshot: which file has the history of the rows. */
  readonly history?: { readonly number: number; readonly digest: string } | { readonly problem: string };
}

/** The history of a tablet's rows, oldest change first, or why there is none. */
export type TabletHistory = { readonly lines: readonly string[] } | { readonly problem: string };

const fileName = (number: number): string => `${String(number).padStart(6, '0')}.sst`;

function bucketOf(line: string, set: FileSet): number {
  let hash = set.salt;
  for (let index = 0; index < line.length; index += 1)
    hash = (Math.imul(hash, 31) + line.charCodeAt(index)) | 0;
  return (hash >>> 0) % set.buckets;
}

/** Writes the row sets that changed since the last flush; an unchanged one keeps its file. */
export function flushReplica(replica: ReplicaState, tablet: TabletState, rows: readonly StoredRow[]): void {
  const folder = tabletFolder(replica, tablet);
  mkdirSync(folder, { recursive: true });
  mkdirSync(`${folder}.intents`, { recursive: true });
  const set = replica.files;
  const buckets = new Map<number, string[]>();
  for (const { hash, line } of rows) {
    // Buckets depend on the hash code, so an updated row stays in its bucket.
    const bucket = bucketOf(String(hash), set);
    const lines = buckets.get(bucket);
    if (lines === undefined) buckets.set(bucket, [line]);
    else lines.push(line);
  }
  let changed = !existsSync(join(folder, 'CURRENT'));
  for (let bucket = 0; bucket < set.buckets; bucket += 1) {
    const body = (buckets.get(bucket) ?? [])
      .sort()
      .map((line) => `${line}\n`)
      .join('');
    const digest = sha256(body);
    const known = set.files[bucket];
    if (known?.digest === digest || (known === undefined && body === '')) continue;
    changed = true;
    if (known !== undefined)
      for (const name of namesOf(known.number)) rmSync(join(folder, name), { force: true });
    if (body === '') {
      delete set.files[bucket];
      continue;
    }
    const number = set.nextNumber;
    set.nextNumber += 1;
    set.files[bucket] = { number, digest };
    writeRows(folder, replica, tablet, number, body);
  }
  if (changed) writeManifest(folder, tablet, set);
}

/** Returns the digest of what it wrote. */
function writeRows(
  folder: string,
  replica: ReplicaState,
  tablet: TabletState,
  number: number,
  body: string,
): string {
  const [meta, data] = namesOf(number);
  const digest = sha256(body);
  // A file's properties name its writer, so no two servers write the same bytes.
  const origin = `${replica.server} ${tablet.id} ${number}`;
  writeFileSync(join(folder, meta), `${JSON.stringify({ origin, bytes: body.length, digest })}\n`);
  writeFileSync(join(folder, data), `${origin}\n${body}`);
  return digest;
}

function namesOf(number: number): readonly [string, string] {
  return [fileName(number), `${fileName(number)}.sblock.0`];
}

function writeManifest(
  folder: string,
  tablet: TabletState,
  set: FileSet,
  snapshot?: string,
  history?: ManifestFile['history'],
): void {
  const manifest: ManifestFile = {
    format: 'simulated-rocksdb-1',
    table: tablet.tableId,
    tablet: tablet.id,
    start: tablet.start,
    end: tablet.end,
    buckets: set.buckets,
    salt: set.salt,
    nextNumber: set.nextNumber,
    ...(snapshot === undefined ? {} : { snapshot }),
    files: set.files,
    ...(history === undefined ? {} : { history }),
  };
  const name = `MANIFEST-${String(set.nextNumber).padStart(6, '0')}`;
  writeFileSync(join(folder, name), `${JSON.stringify(manifest)}\n`);
  writeFileSync(join(folder, 'CURRENT.new'), `${name}\n`);
  renameSync(join(folder, 'CURRENT.new'), join(folder, 'CURRENT'));
  for (const other of readdirSync(folder)) {
    if (other.startsWith('MANIFEST-') && other !== name) rmSync(join(folder, other));
  }
}

/** Makes hard links in `<snapshot>.tmp`, which becomes `<snapshot>` when the snapshot is complete. */
export function checkpoint(
  replica: ReplicaState,
  tablet: TabletState,
  snapshot: string,
  history?: TabletHistory,
): void {
  const source = tabletFolder(replica, tablet);
  const folder = `${snapshotFolder(replica, tablet, snapshot)}.tmp`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'intents'), { recursive: true });
  for (const { number } of Object.values(replica.files.files)) {
    for (const name of namesOf(number)) linkSync(join(source, name), join(folder, name));
  }
  writeManifest(folder, tablet, replica.files, snapshot, writeHistory(folder, replica, tablet, history));
  writeFileSync(
    join(folder, 'intents/MANIFEST-000003'),
    `${JSON.stringify({ intents: [], server: replica.server })}\n`,
  );
  writeFileSync(join(folder, 'intents/CURRENT'), 'MANIFEST-000003\n');
}

function writeHistory(
  folder: string,
  replica: ReplicaState,
  tablet: TabletState,
  history: TabletHistory | undefined,
): ManifestFile['history'] {
  if (history === undefined || 'problem' in history || history.lines.length === 0) {
    return history !== undefined && 'problem' in history ? history : undefined;
  }
  const number = replica.files.nextNumber;
  replica.files.nextNumber += 1;
  const body = history.lines.map((line) => `${line}\n`).join('');
  return { number, digest: writeRows(folder, replica, tablet, number, body) };
}

export function completeCheckpoint(replica: ReplicaState, tablet: TabletState, snapshot: string): void {
  const folder = snapshotFolder(replica, tablet, snapshot);
  if (existsSync(`${folder}.tmp`)) renameSync(`${folder}.tmp`, folder);
}

export function removeSnapshot(replica: ReplicaState, tablet: TabletState, snapshot: string): void {
  rmSync(snapshotFolder(replica, tablet, snapshot), { recursive: true, force: true });
  rmSync(`${snapshotFolder(replica, tablet, snapshot)}.tmp`, { recursive: true, force: true });
}

/** Removes all files of a replica that leaves its server, including snapshots. */
export function removeReplica(replica: ReplicaState, tablet: TabletState): void {
  const folder = tabletFolder(replica, tablet);
  for (const suffix of ['', '.intents', '.snapshots'])
    rmSync(`${folder}${suffix}`, { recursive: true, force: true });
  const table = tableFolder(replica, tablet.tableId);
  if (existsSync(table) && readdirSync(table).length === 0) rmSync(table, { recursive: true });
}

/** Remote bootstrap: copies the files of an existing replica to the new one. */
export function bootstrapReplica(
  from: ReplicaState,
  to: ReplicaState,
  tablet: TabletState,
  copySnapshots: boolean,
): void {
  to.files = structuredClone(from.files);
  copyFolder(tabletFolder(from, tablet), tabletFolder(to, tablet));
  mkdirSync(`${tabletFolder(to, tablet)}.intents`, { recursive: true });
  if (copySnapshots)
    copyFolder(`${tabletFolder(from, tablet)}.snapshots`, `${tabletFolder(to, tablet)}.snapshots`);
}

function copyFolder(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyFolder(source, target);
    else writeFileSync(target, readFileSync(source));
  }
}

/** The content of a snapshot's folder. `problem`: why it can't be restored. */
export type FolderContent =
  | {
      readonly lines: readonly string[];
      readonly set: FileSet;
      readonly history: TabletHistory;
      readonly problem?: undefined;
    }
  | { readonly problem: string };

/** Reads a folder as a tablet server opens it, and checks every file. */
export function readFolder(folder: string, tablet: TabletState): FolderContent {
  try {
    const current = readFileSync(join(folder, 'CURRENT'), 'utf8').trim();
    const manifest = JSON.parse(readFileSync(join(folder, current), 'utf8')) as ManifestFile;
    readFileSync(join(folder, 'intents/CURRENT'));
    if (manifest.start !== tablet.start || manifest.end !== tablet.end) {
      return { problem: `Corruption: key bounds of ${manifest.tablet} are not those of tablet ${tablet.id}` };
    }
    const lines: string[] = [];
    const { history } = manifest;
    const ofHistory = history !== undefined && 'number' in history ? [history] : [];
    let changes: readonly string[] = [];
    for (const { number, digest } of [...Object.values(manifest.files), ...ofHistory]) {
      const [meta, data] = namesOf(number);
      const { digest: promised, origin } = JSON.parse(readFileSync(join(folder, meta), 'utf8')) as {
        digest: string;
        origin: string;
      };
      const text = readFileSync(join(folder, data), 'utf8');
      const body = text.slice(text.indexOf('\n') + 1);
      if (promised !== digest || sha256(body) !== digest || !text.startsWith(`${origin}\n`)) {
        return { problem: `Corruption: block checksum mismatch in ${data} of tablet ${tablet.id}` };
      }
      const own = body.split('\n').slice(0, -1);
      if (ofHistory[0]?.number === number) changes = own;
      else lines.push(...own);
    }
    const { buckets, salt, nextNumber, files } = manifest;
    return {
      lines: lines.sort(),
      set: { buckets, salt, nextNumber, files },
      history: history !== undefined && 'problem' in history ? history : { lines: changes },
    };
  } catch (error) {
    return {
      problem: `Corruption: ${folder} can't be opened: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

/** After a restoration the tablet continues with the snapshot's files, by hard links. */
export function adoptFolder(replica: ReplicaState, tablet: TabletState, folder: string, set: FileSet): void {
  const live = tabletFolder(replica, tablet);
  rmSync(live, { recursive: true, force: true });
  mkdirSync(live, { recursive: true });
  replica.files = structuredClone(set);
  for (const { number } of Object.values(set.files)) {
    for (const name of namesOf(number)) linkSync(join(folder, name), join(live, name));
  }
  writeManifest(live, tablet, replica.files);
}

/** Flips one byte of a data file. False when there is none. */
export function damage(folder: string): boolean {
  const name = existsSync(folder)
    ? readdirSync(folder).find((entry) => entry.endsWith('.sblock.0'))
    : undefined;
  if (name === undefined) return false;
  const file = join(folder, name);
  const bytes = readFileSync(file);
  const last = bytes.length - 2;
  bytes[last] = (bytes[last] ?? 0) ^ 1;
  // Writes a new file, so that the live tablet's file, a hard link to the old one, stays intact.
  rmSync(file);
  writeFileSync(file, bytes);
  return true;
}
