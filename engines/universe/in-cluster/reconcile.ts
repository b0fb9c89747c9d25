import { permanent, transient } from '../../../model/errors.ts';
import type { InClusterChange, InClusterPolicy } from '../../../model/in-cluster.ts';
import {
  deleteScheduleRecord,
  readScheduleRecord,
  type ScheduleRecord,
  writeScheduleRecord,
} from '../../../repository/in-cluster.ts';
import type { Store } from '../../../repository/store.ts';
import type { YbAdmin } from '../yb-admin/program.ts';
import {
  createSnapshotSchedule,
  deleteSnapshotSchedule,
  editSnapshotSchedule,
} from '../yb-admin/schedules.ts';
import { type NamedSchedule, namedSchedules, UNKNOWN_NAMESPACE } from './schedules.ts';

/** The greatest difference that is assumed between the clocks of a worker and of the masters. */
const CLOCK_DIFFERENCE_MS = 5 * 60_000;

/** What `reconcileSchedule` works with. */
export interface Reconciliation {
  readonly admin: YbAdmin;
  readonly store: Store;
  readonly plan: string;
  readonly signal: AbortSignal;
}

/**
 * Brings the snapshot schedule of one database or keyspace in line with what the plan wants (undefined: no schedule). A database never gets a
 * second one: a schedule that somebody else made is adopted if the policy says so, and otherwise refused. Idempotent, even if an earlier attempt
 * died before it learned what it had done.
 *
 * @throws HoldfastError `IN_CLUSTER_FOREIGN`, `IN_CLUSTER_TWO` (permanent), `IN_CLUSTER_UNKNOWN` (transient)
 */
export async function reconcileSchedule(
  context: Reconciliation,
  namespace: string,
  policy: InClusterPolicy | undefined,
): Promise<InClusterChange | undefined> {
  const { admin, store, plan, signal } = context;
  const record = await readScheduleRecord(store, plan, namespace, { signal });
  const all = await namedSchedules(admin);
  const present = all.filter((schedule) => schedule.namespace === namespace);
  if (policy === undefined) return await remove(context, record, all);
  const mine = present.find((schedule) => isMine(schedule, record));
  const others = present.filter((schedule) => schedule !== mine);
  const [other] = others;
  if (mine !== undefined && other === undefined) return await keep(context, mine, record, policy);
  if (other === undefined) {
    const nameless = all.find((schedule) => schedule.namespace === UNKNOWN_NAMESPACE);
    if (nameless !== undefined) throw unknown(namespace, nameless.id);
    return await create(context, namespace, policy, record);
  }
  if (mine !== undefined || others.length > 1) throw two(namespace, present);
  if (!policy.adopt) throw foreign(namespace, other);
  const adopted: ScheduleRecord = {
    plan,
    namespace,
    schedule: other.id,
    adopted: true,
    intervalMs: policy.intervalMs,
    retentionMs: policy.retentionMs,
    since: new Date().toISOString(),
  };
  await writeScheduleRecord(store, adopted, { signal });
  await edit(admin, other, policy);
  return { namespace, schedule: other.id, done: 'adopted' };
}

/**
 * Recognises the plan's schedule by its id. If a worker died after it asked for a schedule, the id is unknown; then the schedule must have the
 * intervals that were asked for, and be no older.
 */
function isMine(schedule: NamedSchedule, record: ScheduleRecord | undefined): boolean {
  if (record === undefined) return false;
  if (record.schedule !== undefined) return record.schedule === schedule.id;
  const [first] = schedule.snapshots;
  const begunMs = first === undefined ? Number.POSITIVE_INFINITY : Number(BigInt(first.timeMicros) / 1000n);
  return (
    schedule.intervalMs === record.intervalMs &&
    schedule.retentionMs === record.retentionMs &&
    begunMs >= Date.parse(record.since) - CLOCK_DIFFERENCE_MS
  );
}

async function keep(
  { admin, store, signal }: Reconciliation,
  schedule: NamedSchedule,
  record: ScheduleRecord | undefined,
  policy: InClusterPolicy,
): Promise<InClusterChange> {
  const { namespace } = schedule;
  const { intervalMs, retentionMs } = policy;
  const found = record !== undefined && record.schedule === undefined;
  const edited = await edit(admin, schedule, policy);
  if (record !== undefined && (found || edited)) {
    await writeScheduleRecord(
      store,
      { ...record, schedule: schedule.id, intervalMs, retentionMs },
      { signal },
    );
  }
  return { namespace, schedule: schedule.id, done: found ? 'created' : edited ? 'edited' : 'unchanged' };
}

/** Returns true if something had to be changed. */
async function edit(admin: YbAdmin, schedule: NamedSchedule, policy: InClusterPolicy): Promise<boolean> {
  const changes = {
    ...(schedule.intervalMs === policy.intervalMs ? {} : { intervalMs: policy.intervalMs }),
    ...(schedule.retentionMs === policy.retentionMs ? {} : { retentionMs: policy.retentionMs }),
  };
  if (Object.keys(changes).length === 0) return false;
  await editSnapshotSchedule(admin, schedule.id, changes);
  return true;
}

async function create(
  context: Reconciliation,
  namespace: string,
  { intervalMs, retentionMs }: InClusterPolicy,
  earlier: ScheduleRecord | undefined,
): Promise<InClusterChange> {
  const { admin, store, plan, signal } = context;
  const since =
    earlier !== undefined && earlier.schedule === undefined ? earlier.since : new Date().toISOString();
  const wanted: ScheduleRecord = { plan, namespace, adopted: false, intervalMs, retentionMs, since };
  // Written before the schedule is asked for, so that a retry recognises one whose id nobody learned.
  await writeScheduleRecord(store, wanted, { signal });
  const id = await createSnapshotSchedule(admin, namespace, { intervalMs, retentionMs });
  const rivals = (await namedSchedules(admin)).filter(
    (schedule) => schedule.namespace === namespace && schedule.id !== id,
  );
  if (rivals.length > 0) {
    // Somebody made one at the same moment. One of the two must go, and only this one is ours to delete.
    await deleteSnapshotSchedule(admin, id);
    await deleteScheduleRecord(store, plan, namespace, { signal });
    throw two(namespace, rivals);
  }
  await writeScheduleRecord(store, { ...wanted, schedule: id }, { signal });
  return { namespace, schedule: id, done: 'created' };
}

/** Deletes the plan's own schedule, with its history. An adopted one stays. */
async function remove(
  { admin, store, plan, signal }: Reconciliation,
  record: ScheduleRecord | undefined,
  all: readonly NamedSchedule[],
): Promise<InClusterChange | undefined> {
  if (record === undefined) return undefined;
  const { namespace } = record;
  const schedule = all.find(
    (one) => (record.schedule ?? '') === one.id || (one.namespace === namespace && isMine(one, record)),
  );
  if (schedule !== undefined && !record.adopted) await deleteSnapshotSchedule(admin, schedule.id);
  await deleteScheduleRecord(store, plan, namespace, { signal });
  if (schedule === undefined) return undefined;
  return { namespace, schedule: schedule.id, done: record.adopted ? 'released' : 'deleted' };
}

function foreign(namespace: string, { id }: NamedSchedule): Error {
  return permanent(
    'IN_CLUSTER_FOREIGN',
    `${namespace} has a snapshot schedule already, ${id}, which this plan did not make`,
    'Take it over with `pointTime.inCluster.adopt: true`, or delete it (yb-admin delete_snapshot_schedule).',
  );
}

function two(namespace: string, schedules: readonly NamedSchedule[]): Error {
  return permanent(
    'IN_CLUSTER_TWO',
    `${namespace} has more than one snapshot schedule: ${schedules.map(({ id }) => id).join(', ')}`,
    'Delete all but one (yb-admin delete_snapshot_schedule): each keeps history of its own.',
  );
}

function unknown(namespace: string, id: string): Error {
  return transient(
    'IN_CLUSTER_UNKNOWN',
    `Whether the snapshot schedule ${id} is for ${namespace} is not known before its first snapshot`,
    'It is looked at again.',
  );
}
