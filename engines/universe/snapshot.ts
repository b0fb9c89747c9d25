import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseSnapshot, ReadPoint } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError, permanent, transient, UNIVERSE_NO_DATABASE } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { BackupContext, OpenReadPoint } from '../engine.ts';
import {
  type LedgerEntry,
  readLedger,
  type SnapshotIntent,
  writeCreated,
  writeIntent,
} from './snapshot-ledger.ts';
import { holdSplitting } from './splitting.ts';
import { type DatabaseName, namesIn, openUniverse, type Universe } from './universe.ts';
import { YB_ADMIN } from './yb-admin/errors.ts';
import { findNamespace } from './yb-admin/namespaces.ts';
import type { YbAdmin } from './yb-admin/program.ts';
import { listSnapshotSchedules } from './yb-admin/schedules.ts';
import {
  createDatabaseSnapshot,
  createKeyspaceSnapshot,
  deleteSnapshot,
  findSnapshot,
  listSnapshots,
  type Snapshot,
} from './yb-admin/snapshots.ts';
import { isoOfMicros } from './yb-admin/times.ts';
import { catalogVersion } from './yb-admin/upkeep.ts';

const HOUR_MS = 3_600_000;
const POLL_MS = 1_000;

/**
 * Takes a snapshot of every database and keyspace of the plan, or finds those that an earlier attempt took, and waits until they are complete.
 * Holds tablet splitting until the read point is closed, since a split deletes the parent's snapshot.
 *
 * Throws `SNAPSHOT_FAILED` (transient: another one is taken), `SNAPSHOT_STUCK`, `UNIVERSE_NO_DATABASE` (permanent).
 */
export async function openSnapshots(
  context: BackupContext,
  source: UniverseSource,
  epoch: number,
): Promise<OpenReadPoint<ReadPoint>> {
  const universe = await openUniverse(context, source);
  const splitting = await holdSplitting(universe.admin, context);
  try {
    const known = (await readLedger(context)).filter(({ intent }) => intent.epoch === epoch);
    const databases: DatabaseSnapshot[] = [];
    for (const [index, name] of namesIn(source).entries()) {
      const entries = known.filter(({ intent }) => intent.database === name.name);
      databases.push(await snapshotOf(universe, context, { epoch, index, name }, entries));
    }
    const times = databases.flatMap(({ snapshotTime }) => snapshotTime ?? []);
    const takenAt = times.sort()[0] ?? new Date().toISOString();
    return {
      readPoint: { kind: 'universe-snapshot', epoch, takenAt, databases },
      held: { lost: splitting.lost, close: () => splitting.release() },
    };
  } catch (error) {
    await splitting.release();
    throw error;
  }
}

interface Wanted {
  readonly epoch: number;
  /** Index of the database among the plan's. */
  readonly index: number;
  readonly name: DatabaseName;
}

async function snapshotOf(
  universe: Universe,
  context: BackupContext,
  wanted: Wanted,
  entries: readonly LedgerEntry[],
): Promise<DatabaseSnapshot> {
  const { name } = wanted;
  const last = entries.at(-1);
  const found = last === undefined ? undefined : await foundAgain(universe, context, wanted, last);
  const begun = found ?? (await begin(universe, context, wanted, entries.length));
  const base = {
    database: name.name,
    api: name.api,
    ...defined({ catalogVersion: begun.catalogVersion }),
  };
  if (begun.snapshot === undefined) return base;
  const { timeMicros } = await whenComplete(universe, context, name, begun.snapshot);
  return {
    ...base,
    snapshot: begun.snapshot,
    ...(timeMicros === undefined ? {} : { snapshotTime: isoOfMicros(timeMicros) }),
  };
}

interface Begun {
  /** Absent for a database without tables. */
  readonly snapshot?: string;
  readonly catalogVersion?: string;
}

/** The snapshot that an earlier attempt began; undefined if another must be taken. */
async function foundAgain(
  universe: Universe,
  context: BackupContext,
  { index }: Wanted,
  { intent, snapshot }: LedgerEntry,
): Promise<Begun | undefined> {
  const id = snapshot ?? (await orphanOf(universe, intent));
  if (id === undefined) return undefined;
  const state = (await findSnapshot(universe.admin, id))?.state;
  if (state !== 'COMPLETE' && state !== 'CREATING') return undefined;
  if (snapshot === undefined) {
    context.log('found the snapshot again that a lost worker had begun', { snapshot: id });
    await writeCreated(context, index, intent, id);
  }
  return {
    snapshot: id,
    ...defined({ catalogVersion: intent.catalogVersion }),
  };
}

/**
 * The one snapshot of this database that wasn't there when the intent was written, and that no schedule made. If there are several, another tool
 * made some of them, and nobody knows which is ours. Then none is used or deleted, and ours expires by its retention.
 */
export async function orphanOf({ admin }: Universe, intent: SnapshotIntent): Promise<string | undefined> {
  const before = new Set(intent.before);
  const scheduled = new Set(
    (await listSnapshotSchedules(admin)).flatMap(({ snapshots }) => snapshots.map(({ id }) => id)),
  );
  const candidates = (await listSnapshots(admin, { details: true })).filter(
    (snapshot) => !before.has(snapshot.id) && !scheduled.has(snapshot.id) && isOf(snapshot, intent),
  );
  return candidates.length === 1 ? candidates[0]?.id : undefined;
}

function isOf({ state, objects = [] }: Snapshot, { database, api }: SnapshotIntent): boolean {
  if (state !== 'COMPLETE' && state !== 'CREATING') return false;
  return objects.some(
    ({ type, name, kind }) => type === 'NAMESPACE' && name === database && (kind ?? api) === api,
  );
}

/**
 * Throws `UNIVERSE_NO_DATABASE` (permanent). Needed because some builds of yb-admin say "no tables" of a missing database, as all do of an empty
 * one.
 */
async function requireNamespace(admin: YbAdmin, { api, name }: DatabaseName): Promise<void> {
  if ((await findNamespace(admin, api, name)) !== undefined) return;
  throw permanent(
    UNIVERSE_NO_DATABASE,
    `The universe has no ${api === 'ysql' ? 'database' : 'keyspace'} ${name}`,
    'Correct its name in the plan (yb-admin list_namespaces tells which there are).',
  );
}

async function begin(
  universe: Universe,
  context: BackupContext,
  { epoch, index, name }: Wanted,
  attempt: number,
): Promise<Begun> {
  const { admin, source } = universe;
  await requireNamespace(admin, name);
  const version = name.api === 'ysql' ? await catalogVersion(admin, name.name) : undefined;
  const known = version === undefined ? {} : { catalogVersion: version };
  const before = (await listSnapshots(admin, { details: false })).map(({ id }) => id);
  const at = new Date().toISOString();
  const intent: SnapshotIntent = { epoch, database: name.name, api: name.api, attempt, before, ...known, at };
  await writeIntent(context, index, intent);
  const retentionHours = source.snapshotRetentionMs / HOUR_MS;
  try {
    const create = name.api === 'ysql' ? createDatabaseSnapshot : createKeyspaceSnapshot;
    const snapshot = await create(admin, name.name, { retentionHours });
    await writeCreated(context, index, intent, snapshot);
    return { snapshot, ...known };
  } catch (error) {
    if (error instanceof HoldfastError && error.code === YB_ADMIN.noTables) return known;
    throw error;
  }
}

async function whenComplete(
  { admin, source }: Universe,
  context: BackupContext,
  { name }: DatabaseName,
  id: string,
): Promise<Snapshot> {
  const deadline = Date.now() + source.patience.snapshotMs;
  for (;;) {
    const snapshot = await findSnapshot(admin, id);
    if (snapshot?.state === 'COMPLETE') return snapshot;
    if (snapshot === undefined || (snapshot.state !== 'CREATING' && snapshot.state !== 'UNKNOWN')) {
      throw transient(
        'SNAPSHOT_FAILED',
        `The snapshot ${id} of ${name} became ${snapshot?.state ?? 'unknown to the universe'} instead of COMPLETE`,
        'Another one is taken; if that fails too, see the logs of the masters and tablet servers.',
      );
    }
    if (Date.now() > deadline) {
      await deleteSnapshot(admin, id);
      throw permanent(
        'SNAPSHOT_STUCK',
        `The snapshot ${id} of ${name} was still ${snapshot.state} after ${Math.round(source.patience.snapshotMs / 1000)} s, and was deleted`,
        'See whether all tablet servers are alive; give it longer with source.universe.patience.snapshot.',
      );
    }
    context.heartbeat({ snapshot: id, state: snapshot.state });
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
}
