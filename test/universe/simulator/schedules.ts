import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { databaseOf, synchronize } from './catalog.ts';
import { readFolder, snapshotFolder } from './files.ts';
import { closeHistory, committedChanges, isVisible, openHistory } from './history.ts';
import { loadRows, quoted } from './rows.ts';
import { dumpSchema } from './schema-dump.ts';
import { allTables, beginDeletion, createSnapshot } from './snapshots.ts';
import type { CloneState, NamespaceState, RestorationState, ScheduleState, SnapshotState } from './state.ts';
import { Failure } from './status.ts';
import { newUuid, type World } from './world.ts';

export function findSchedule(world: World, id: string): ScheduleState {
  const found = world.state.schedules.find((schedule) => schedule.id === id);
  if (found === undefined) throw new Failure('Not found', `Unknown schedule: ${id}`, 'SNAPSHOT_NOT_FOUND');
  return found;
}

/** Creates a schedule. YugabyteDB allows two schedules for one namespace, so nothing prevents it here. */
export async function createSchedule(
  world: World,
  namespace: NamespaceState,
  intervalMs: number,
  retentionMs: number,
): Promise<ScheduleState> {
  if (intervalMs >= retentionMs)
    throw new Failure('Invalid argument', 'Retention must be longer than the interval');
  const schedule: ScheduleState = {
    id: newUuid(),
    namespaceId: namespace.id,
    intervalMs,
    retentionMs,
    nextAt: world.now() + intervalMs,
  };
  await world.connected(databaseOf(namespace), (client) => openHistory(client, schedule.id));
  world.state.schedules.push(schedule);
  await takeScheduled(world, namespace, schedule);
  return schedule;
}

/** Returns a schedule's complete snapshots, oldest first. */
export function snapshotsOf(world: World, schedule: ScheduleState): readonly SnapshotState[] {
  return world.state.snapshots.filter(
    ({ scheduleId, state }) => scheduleId === schedule.id && state === 'COMPLETE',
  );
}

async function takeScheduled(
  world: World,
  namespace: NamespaceState,
  schedule: ScheduleState,
): Promise<void> {
  const previous = world.state.snapshots.findLast(({ scheduleId }) => scheduleId === schedule.id);
  const snapshot = await createSnapshot(world, namespace, allTables(world, namespace), {
    scheduleId: schedule.id,
    ...(previous === undefined ? {} : { previous, previousMicros: previous.micros }),
    withHistory: true,
  });
  const folder = join(world.directory, 'schemas');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${snapshot.id}.sql`), await dumpSchema(world, namespace));
}

/** Applies the effects of time to schedules: takes the next snapshots and deletes old ones. */
export async function ageSchedules(world: World): Promise<boolean> {
  let changed = false;
  for (const schedule of world.state.schedules) {
    const namespace = world.state.namespaces.find(({ id }) => id === schedule.namespaceId);
    if (schedule.deletedAt !== undefined || namespace === undefined || namespace.gone) {
      for (const snapshot of snapshotsOf(world, schedule)) beginDeletion(world, snapshot);
      if (namespace !== undefined && !namespace.gone) {
        await world.connected(databaseOf(namespace), (client) => closeHistory(client, schedule.id));
      }
      world.state.schedules = world.state.schedules.filter((other) => other !== schedule);
      changed = true;
      continue;
    }
    const oldest = BigInt(world.now() - schedule.retentionMs) * 1000n;
    for (const snapshot of snapshotsOf(world, schedule)) {
      if (BigInt(snapshot.micros) >= oldest || snapshotsOf(world, schedule).length === 1) continue;
      beginDeletion(world, snapshot);
      changed = true;
    }
    if (schedule.nextAt > world.now()) continue;
    schedule.nextAt = world.now() + schedule.intervalMs;
    await synchronize(world);
    await takeScheduled(world, namespace, schedule);
    changed = true;
  }
  return changed;
}

/** Takes every schedule's next snapshot now. */
export async function takeScheduledNow(world: World): Promise<void> {
  for (const schedule of world.state.schedules) schedule.nextAt = world.now();
  await ageSchedules(world);
}

/** Returns the schedule's newest snapshot at or before the instant. */
function baseOf(world: World, schedule: ScheduleState, micros: string): SnapshotState {
  const all = snapshotsOf(world, schedule);
  const before = all.filter((snapshot) => BigInt(snapshot.micros) <= BigInt(micros));
  const base = before.at(-1);
  if (base !== undefined && BigInt(micros) <= BigInt(world.now()) * 1000n) return base;
  throw new Failure(
    'Illegal state',
    `Cannot restore at { physical: ${micros} }, last snapshot: ${all.at(-1)?.id ?? 'none'}`,
  );
}

/** Starts to rewind the database in place to an instant within the schedule's history. */
export async function beginRewind(
  world: World,
  schedule: ScheduleState,
  micros: string,
): Promise<RestorationState> {
  const creating = world.state.snapshots.find(
    ({ scheduleId, state }) => scheduleId === schedule.id && state === 'CREATING',
  );
  if (creating !== undefined) {
    throw new Failure(
      'Illegal state',
      `Creating snapshot in progress: ${creating.id} (passed 0.100s)`,
      'PARALLEL_SNAPSHOT_OPERATION',
    );
  }
  const base = baseOf(world, schedule, micros);
  const restoration: RestorationState = {
    id: newUuid(),
    snapshotId: base.id,
    state: 'RESTORING',
    turnsAt: world.now() + world.state.config.restoreMs,
    end: world.state.endOf.restorations,
    rewind: { scheduleId: schedule.id, micros },
  };
  world.state.restorations.push(restoration);
  return restoration;
}

/** Finishes a rewind; returns an error text if it fails. */
export async function finishRewind(
  world: World,
  base: SnapshotState,
  rewind: { readonly scheduleId: string; readonly micros: string },
): Promise<string | undefined> {
  const namespace = world.state.namespaces.find(({ id }) => id === base.namespaceId);
  if (namespace === undefined || namespace.gone) return 'Not found: the database is gone';
  try {
    await world.connected(databaseOf(namespace), async (client) => {
      const changes = await changesUntil(client, base, rewind);
      if (!(await hasSchemaOf(world, namespace, base))) await resetSchema(world, client, namespace, base);
      await fill(world, client, namespace, base, changes);
    });
    return undefined;
  } catch (error) {
    return `Runtime error: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function hasSchemaOf(world: World, namespace: NamespaceState, base: SnapshotState): Promise<boolean> {
  return (await dumpSchema(world, namespace)) === schemaOf(world, base);
}

const schemaOf = (world: World, { id }: SnapshotState): string =>
  readFileSync(join(world.directory, 'schemas', `${id}.sql`), 'utf8');

async function resetSchema(
  world: World,
  client: Client,
  namespace: NamespaceState,
  base: SnapshotState,
): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT quote_ident(nspname) AS name FROM pg_namespace WHERE nspname NOT LIKE 'pg_%' AND nspname <> 'information_schema' AND ($1::text IS NULL OR nspname = $1)",
    [namespace.kind === 'ycql' ? namespace.name : null],
  );
  for (const { name } of rows) await client.query(`DROP SCHEMA ${name} CASCADE`);
  if (namespace.kind === 'ysql')
    await client.query('CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC');
  await client.query(schemaOf(world, base));
  await client.query('RESET search_path');
}

async function changesUntil(
  client: Client,
  base: SnapshotState,
  { scheduleId, micros }: { readonly scheduleId: string; readonly micros: string },
): Promise<readonly { readonly schema: string; readonly sql: string }[]> {
  return (await committedChanges(client, scheduleId))
    .filter(({ xid, micros: at }) => BigInt(at) <= BigInt(micros) && !isVisible(xid, base.visible ?? ''))
    .flatMap(({ statements }) => statements);
}

/** Loads the rows of the base snapshot's files, then applies what was committed until the instant. */
async function fill(
  world: World,
  client: Client,
  namespace: NamespaceState,
  base: SnapshotState,
  changes: readonly { readonly schema: string; readonly sql: string }[],
): Promise<void> {
  const rows = new Map<string, string[]>();
  for (const object of base.objects) {
    for (const { id } of object.tablets) {
      const tablet = world.state.tablets.find((other) => other.id === id);
      const replica = tablet?.replicas.find(({ server }) => world.isAlive(server));
      if (tablet === undefined || replica === undefined) throw new Error(`tablet ${id} has no replica`);
      const content = readFolder(snapshotFolder(replica, tablet, base.id), tablet);
      if (content.problem !== undefined) throw new Error(content.problem);
      for (const line of content.lines) {
        const tab = line.indexOf('\t');
        const own = rows.get(line.slice(0, tab)) ?? [];
        rows.set(line.slice(0, tab), own);
        own.push(line.slice(tab + 1));
      }
    }
  }
  await client.query('BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL row_security = off');
  const tables = base.objects.filter(({ kind }) => kind === 'table');
  for (const table of tables) {
    await client.query(`DELETE FROM ONLY ${quoted(table.schema, table.name)}`);
    await loadRows(
      client,
      table,
      table.columns.map(({ name }) => name),
      rows.get(JSON.stringify([table.schema, table.name])) ?? [],
    );
  }
  for (const { schema, sql } of changes) {
    if (namespace.kind === 'ysql' || schema === namespace.name) await client.query(sql);
  }
  await client.query('COMMIT');
  for (const { kind, schema, name } of base.objects) {
    if (kind === 'matview') await client.query(`REFRESH MATERIALIZED VIEW ${quoted(schema, name)}`);
  }
}

export function clonesOf(world: World, namespaceId: string): readonly CloneState[] {
  return world.state.clones.filter(({ sourceNamespaceId }) => sourceNamespaceId === namespaceId);
}

/** Starts to clone a database at an instant within the history of its schedule. */
export async function beginClone(
  world: World,
  source: NamespaceState,
  target: string,
  micros: string,
): Promise<CloneState> {
  const schedule = world.state.schedules.find(
    ({ namespaceId, deletedAt }) => namespaceId === source.id && deletedAt === undefined,
  );
  if (schedule === undefined) {
    throw new Failure(
      'Not found',
      `Could not find a snapshot schedule covering namespace ${source.id}`,
      'OBJECT_NOT_FOUND',
    );
  }
  if (
    world.state.clones.some((clone) => clone.sourceNamespaceId === source.id && clone.state === 'RESTORING')
  ) {
    throw new Failure(
      'Illegal state',
      `Cannot create new clone because there is already an ongoing clone for source namespace ${source.id}`,
    );
  }
  if (
    world.state.namespaces.some(({ name, kind, gone }) => name === target && kind === source.kind && !gone)
  ) {
    throw new Failure('Already present', `Database ${target} already exists`);
  }
  baseOf(world, schedule, micros);
  const clone: CloneState = {
    sourceNamespaceId: source.id,
    scheduleId: schedule.id,
    sequence: clonesOf(world, source.id).length + 1,
    target,
    micros,
    state: 'RESTORING',
    turnsAt: world.now() + world.state.config.restoreMs,
  };
  world.state.clones.push(clone);
  return clone;
}

export async function ageClones(world: World): Promise<boolean> {
  let changed = false;
  for (const clone of world.state.clones) {
    if (clone.state !== 'RESTORING' || clone.turnsAt > world.now()) continue;
    changed = true;
    try {
      await finishClone(world, clone);
      clone.state = 'COMPLETE';
    } catch (error) {
      clone.state = 'ABORTED';
      clone.problem = error instanceof Error ? error.message : String(error);
    }
  }
  return changed;
}

async function finishClone(world: World, clone: CloneState): Promise<void> {
  const source = world.state.namespaces.find(({ id }) => id === clone.sourceNamespaceId);
  if (source === undefined || source.kind !== 'ysql') throw new Error('only YSQL databases are cloned here');
  const base = baseOf(world, findSchedule(world, clone.scheduleId), clone.micros);
  const changes = await world.connected(source.name, (client) => changesUntil(client, base, clone));
  await world.connected('postgres', (client) =>
    client.query(`CREATE DATABASE "${clone.target.replaceAll('"', '""')}"`),
  );
  await world.connected(clone.target, async (client) => {
    await client.query(schemaOf(world, base));
    await client.query('RESET search_path');
    await fill(world, client, source, base, changes);
  });
  await synchronize(world);
}
