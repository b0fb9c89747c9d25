import type { YbAdmin } from '../yb-admin/program.ts';
import { listSnapshotSchedules, type SnapshotSchedule } from '../yb-admin/schedules.ts';
import { listSnapshots, type SnapshotObject } from '../yb-admin/snapshots.ts';

/** A schedule with the database or keyspace it is for: `ysql.orders`. */
export type NamedSchedule = SnapshotSchedule & { readonly namespace: string };

/**
 * All schedules that aren't being deleted. Some builds don't say what a schedule is for; then the details of its snapshots say it. One that has no
 * snapshot yet is `unknown`.
 */
export async function namedSchedules(admin: YbAdmin): Promise<readonly NamedSchedule[]> {
  const schedules = (await listSnapshotSchedules(admin)).filter(({ deleted }) => !deleted);
  if (schedules.every(({ namespace }) => namespace !== undefined)) return schedules.map(named);
  const snapshots = await listSnapshots(admin, { details: true });
  const objects = new Map(snapshots.map(({ id, objects: held = [] }) => [id, held]));
  return schedules.map((schedule) => {
    const held = schedule.snapshots.flatMap(({ id }) => objects.get(id) ?? []);
    return named({ ...schedule, namespace: schedule.namespace ?? namespaceIn(held) });
  });
}

/** Namespace of a schedule whose database or keyspace isn't known yet. */
export const UNKNOWN_NAMESPACE = 'unknown';

function named(schedule: SnapshotSchedule): NamedSchedule {
  return { ...schedule, namespace: schedule.namespace ?? UNKNOWN_NAMESPACE };
}

function namespaceIn(objects: readonly SnapshotObject[]): string {
  const namespace = objects.find(({ type }) => type === 'NAMESPACE');
  return namespace === undefined ? UNKNOWN_NAMESPACE : `${namespace.kind ?? 'ycql'}.${namespace.name}`;
}
