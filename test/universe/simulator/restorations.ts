import { existsSync } from 'node:fs';
import type { Client } from 'pg';
import { databaseOf, flush, synchronize, tablesOf } from './catalog.ts';
import { adoptFolder, type FolderContent, readFolder, snapshotFolder } from './files.ts';
import { rowsAsOf } from './row-history.ts';
import { loadRows, quoted, relationKey } from './rows.ts';
import { finishRewind } from './schedules.ts';
import { findSnapshot, replicasOf } from './snapshots.ts';
import type { ReplicaState, RestorationState, SnapshotState, TabletState } from './state.ts';
import { Failure } from './status.ts';
import { newUuid, type World } from './world.ts';

/**
 * Starts a restoration.
 *
 * @param micros The instant within the snapshot's history. It is not checked: an instant outside of it, or before a schema change, gives whatever the
 * files contain (facts: YugabyteDB does not check whether the time is recoverable)
 */
export function beginRestoration(world: World, snapshot: SnapshotState, micros?: string): RestorationState {
  if (snapshot.state === 'DELETED' || snapshot.state === 'DELETING') {
    throw new Failure('Not found', `The snapshot was deleted: ${snapshot.id}`, 'SNAPSHOT_NOT_FOUND');
  }
  if (snapshot.state !== 'COMPLETE') {
    throw new Failure(
      'Illegal state',
      `The snapshot state is not complete: ${snapshot.id}`,
      'SNAPSHOT_IS_NOT_READY',
    );
  }
  const restoration: RestorationState = {
    id: newUuid(),
    snapshotId: snapshot.id,
    state: 'RESTORING',
    turnsAt: world.now() + world.state.config.restoreMs,
    end: world.state.endOf.restorations,
    ...(micros === undefined ? {} : { micros }),
  };
  world.state.restorations.push(restoration);
  return restoration;
}

/** Applies the effects of time to restorations: missing folders kill tablet servers, and rows come back from the files. */
export async function ageRestorations(world: World, died: (server: string) => Promise<void>): Promise<void> {
  for (const restoration of world.state.restorations) {
    if (restoration.state !== 'RESTORING' || restoration.end === 'never') continue;
    const snapshot = findSnapshot(world, restoration.snapshotId);
    if (restoration.rewind !== undefined) {
      await ageRewind(world, restoration, restoration.rewind, snapshot);
      continue;
    }
    let waits = false;
    for (const { server, message } of doomed(world, snapshot)) {
      const state = world.tserver(server);
      // It stays RESTORING while one of its servers can't apply it (issue 26798).
      waits ||= state.alive || state.diedOf !== undefined;
      if (!state.alive) continue;
      state.alive = false;
      state.diedOf = message;
      await died(server);
    }
    if (waits || restoration.turnsAt > world.now()) continue;
    if (restoration.end === 'failed') {
      restoration.state = 'FAILED';
      restoration.problem = 'told to fail';
      continue;
    }
    const opened = open(world, snapshot, restoration.micros);
    if (opened === undefined) continue;
    const problem = opened.problem ?? (await restoreRows(world, snapshot, opened.lines));
    if (problem !== undefined) {
      restoration.state = 'FAILED';
      restoration.problem = problem;
      continue;
    }
    for (const { tablet, replica, folder, content } of opened.folders) {
      if (content.problem === undefined) adoptFolder(replica, tablet, folder, content.set);
    }
    if (restoration.micros !== undefined) await rewriteFiles(world, snapshot);
    restoration.state = 'RESTORED';
  }
}

async function ageRewind(
  world: World,
  restoration: RestorationState,
  rewind: NonNullable<RestorationState['rewind']>,
  base: SnapshotState,
): Promise<void> {
  if (restoration.turnsAt > world.now()) return;
  const problem = restoration.end === 'failed' ? 'told to fail' : await finishRewind(world, base, rewind);
  restoration.state = problem === undefined ? 'RESTORED' : 'FAILED';
  if (problem !== undefined) restoration.problem = problem;
}

/** Returns the replicas without the snapshot's folder. Applying the restoration kills their servers, again at each start (issues 4431, 26798). */
export function doomed(
  world: World,
  snapshot: SnapshotState,
): readonly { readonly server: string; readonly message: string }[] {
  return replicasOf(world, snapshot)
    .filter(({ tablet, replica }) => !existsSync(snapshotFolder(replica, tablet, snapshot.id)))
    .map(({ tablet, replica }) => ({
      server: replica.server,
      message: `F tablet_snapshots.cc] Apply failed: Not found: tablet ${tablet.id}: Snapshot directory does not exist: ${snapshotFolder(replica, tablet, snapshot.id)}`,
    }));
}

interface OpenedFolder {
  readonly tablet: TabletState;
  readonly replica: ReplicaState;
  readonly folder: string;
  readonly content: FolderContent;
}

/** Opens the snapshot's folders. Undefined while a tablet has no live majority. */
function open(
  world: World,
  snapshot: SnapshotState,
  micros: string | undefined,
):
  | {
      readonly lines: readonly string[];
      readonly folders: readonly OpenedFolder[];
      readonly problem?: string;
    }
  | undefined {
  const folders: OpenedFolder[] = [];
  const lines: string[] = [];
  const wanted = snapshot.objects.flatMap(({ tablets }) => tablets.map(({ id }) => id));
  for (const id of wanted) {
    const tablet = world.state.tablets.find((other) => other.id === id && other.state === 'RUNNING');
    if (tablet === undefined) return { lines, folders, problem: `Not found: tablet ${id} is gone` };
    const voters = tablet.replicas.filter(({ role }) => role !== 'OBSERVER');
    const live = tablet.replicas.filter(({ server }) => world.isAlive(server));
    if (live.filter(({ role }) => role !== 'OBSERVER').length * 2 <= voters.length) return undefined;
    const own = live.map((replica) => {
      const folder = snapshotFolder(replica, tablet, snapshot.id);
      return { tablet, replica, folder, content: readFolder(folder, tablet) };
    });
    let first: readonly string[] | undefined;
    for (const { content } of own) {
      if (content.problem !== undefined) return { lines, folders, problem: content.problem };
      if (first !== undefined && first.join('\n') !== content.lines.join('\n')) {
        return { lines, folders, problem: `Corruption: replicas of tablet ${id} differ` };
      }
      first = content.lines;
    }
    folders.push(...own);
    const history = own.flatMap(({ content }) => (content.problem === undefined ? [content.history] : []))[0];
    if (micros === undefined || history === undefined) lines.push(...(first ?? []));
    else if ('problem' in history) return { lines, folders, problem: history.problem };
    else lines.push(...rowsAsOf(first ?? [], history.lines, micros));
  }
  return { lines, folders };
}

/** Rewrites the files after a restoration to an earlier instant: the snapshot's files hold the rows of its own time. */
async function rewriteFiles(world: World, snapshot: SnapshotState): Promise<void> {
  const namespace = world.state.namespaces.find(({ id }) => id === snapshot.namespaceId);
  if (namespace !== undefined) await flush(world, namespace, tablesOf(world, namespace));
}

/** Puts the rows of the files into the tables; returns an error text if that fails. */
async function restoreRows(
  world: World,
  snapshot: SnapshotState,
  lines: readonly string[],
): Promise<string | undefined> {
  await synchronize(world);
  const namespace = world.state.namespaces.find(({ id }) => id === snapshot.namespaceId);
  if (namespace === undefined || namespace.gone) return `Not found: namespace ${snapshot.namespaceName}`;
  const byRelation = new Map<string, string[]>();
  for (const line of lines) {
    const tab = line.indexOf('\t');
    const [schema = '', name = ''] = JSON.parse(line.slice(0, tab)) as readonly string[];
    const key = relationKey(namespace.kind === 'ycql' ? namespace.name : schema, name);
    const rows = byRelation.get(key) ?? [];
    byRelation.set(key, rows);
    rows.push(line.slice(tab + 1));
  }
  try {
    await world.connected(databaseOf(namespace), async (client) => {
      await client.query('BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL row_security = off');
      const tables = snapshot.objects.filter(({ kind }) => kind === 'table');
      for (const object of tables) await restoreTable(client, object, byRelation);
      for (const { kind, schema, name } of snapshot.objects) {
        if (kind === 'matview') await client.query(`REFRESH MATERIALIZED VIEW ${quoted(schema, name)}`);
      }
      await client.query('COMMIT');
    });
    return undefined;
  } catch (error) {
    return `Runtime error: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Restores only data: it doesn't create a table that was dropped meanwhile (issue 12977). */
async function restoreTable(
  client: Client,
  object: SnapshotState['objects'][number],
  byRelation: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const { schema, name, columns } = object;
  const { rows } = await client.query('SELECT to_regclass($1) AS found', [quoted(schema, name)]);
  if (rows[0]?.found === null) return;
  await client.query(`DELETE FROM ONLY ${quoted(schema, name)}`);
  const lines = byRelation.get(relationKey(schema, name)) ?? [];
  await loadRows(
    client,
    object,
    columns.map((column) => column.name),
    lines,
  );
}
