import { defined } from '../../../model/defined.ts';
import { unreadable } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { canonicalUuid, field, isUuid, jsonIn, listField, textField } from './text.ts';
import { intervalMs, microsOf } from './times.ts';

/** A snapshot schedule, on which in-cluster point-in-time recovery rests. */
export interface SnapshotSchedule {
  readonly id: string;
  /** e.g. `ysql.orders`; undefined in builds that don't print it. */
  readonly namespace?: string;
  readonly intervalMs?: number;
  readonly retentionMs?: number;
  /** Marked for deletion, with its snapshots. */
  readonly deleted: boolean;
  /** Oldest first. */
  readonly snapshots: readonly ScheduledSnapshot[];
}

/** A snapshot that a schedule took. Times are microseconds since 1970. */
export interface ScheduledSnapshot {
  readonly id: string;
  readonly timeMicros: string;
  /** The snapshot carries history from this instant on; undefined for the first. */
  readonly previousMicros?: string;
}

const MS_PER_MINUTE = 60_000;

/** Creates a schedule for one database (`ysql.orders`) or keyspace (`ycql.metrics`) and returns its id. Not idempotent. */
export async function createSnapshotSchedule(
  admin: YbAdmin,
  namespace: string,
  options: { readonly intervalMs: number; readonly retentionMs: number },
): Promise<string> {
  const operation = 'create_snapshot_schedule';
  const output = await admin.run(operation, [
    minutes(options.intervalMs),
    minutes(options.retentionMs),
    namespace,
  ]);
  return idIn(operation, output, 'schedule_id');
}

function minutes(ms: number): string {
  return String(Math.max(1, Math.round(ms / MS_PER_MINUTE)));
}

/** Lists all snapshot schedules, including those that are being deleted. */
export async function listSnapshotSchedules(admin: YbAdmin): Promise<readonly SnapshotSchedule[]> {
  return parseSchedules(await admin.run('list_snapshot_schedules', []));
}

/** Throws `YB_ADMIN_UNREADABLE`. */
export function parseSchedules(output: string): readonly SnapshotSchedule[] {
  const operation = 'list_snapshot_schedules';
  const value = jsonIn(operation, output);
  if (!Array.isArray(field(value, 'schedules'))) throw unreadable(operation, output, 'list "schedules"');
  return listField(value, 'schedules').map((entry) => schedule(operation, entry, output));
}

function schedule(operation: string, entry: unknown, output: string): SnapshotSchedule {
  const id = textField(entry, 'id');
  if (id === undefined || !isUuid(id)) throw unreadable(operation, output, 'id in every schedule');
  const options = field(entry, 'options');
  const namespace = textField(options, 'filter');
  const interval = intervalMs(textField(options, 'interval'));
  const retention = intervalMs(textField(options, 'retention'));
  return {
    id: canonicalUuid(id),
    ...defined({ namespace, intervalMs: interval, retentionMs: retention }),
    deleted: textField(options, 'delete_time') !== undefined,
    snapshots: listField(entry, 'snapshots').flatMap(scheduledSnapshot).sort(byTime),
  };
}

function scheduledSnapshot(entry: unknown): readonly ScheduledSnapshot[] {
  const id = textField(entry, 'id');
  const timeMicros = microsOf(textField(entry, 'snapshot_time', 'snapshot_time_utc'));
  const previousMicros = microsOf(textField(entry, 'previous_snapshot_time', 'previous_snapshot_time_utc'));
  // A snapshot that is being created has no time yet.
  if (id === undefined || !isUuid(id) || timeMicros === undefined) return [];
  return [{ id: canonicalUuid(id), timeMicros, ...defined({ previousMicros }) }];
}

function byTime(a: ScheduledSnapshot, b: ScheduledSnapshot): number {
  return Number(BigInt(a.timeMicros) - BigInt(b.timeMicros));
}

/** Changes how often snapshots are taken, and how long they are kept. */
export async function editSnapshotSchedule(
  admin: YbAdmin,
  id: string,
  options: { readonly intervalMs?: number; readonly retentionMs?: number },
): Promise<void> {
  const changes = [
    ...(options.intervalMs === undefined ? [] : ['interval', minutes(options.intervalMs)]),
    ...(options.retentionMs === undefined ? [] : ['retention', minutes(options.retentionMs)]),
  ];
  if (changes.length > 0) await admin.run('edit_snapshot_schedule', [canonicalUuid(id), ...changes]);
}

/** Deletes the schedule and the snapshots it made. */
export async function deleteSnapshotSchedule(admin: YbAdmin, id: string): Promise<void> {
  await admin.run('delete_snapshot_schedule', [canonicalUuid(id)]);
}

/** Starts to take the schedule's database back in place, to an instant (microseconds since 1970). Not idempotent. */
export async function restoreSnapshotSchedule(
  admin: YbAdmin,
  id: string,
  atMicros: string,
): Promise<{ readonly snapshot: string; readonly restoration: string }> {
  const operation = 'restore_snapshot_schedule';
  const output = await admin.run(operation, [canonicalUuid(id), atMicros]);
  return {
    snapshot: idIn(operation, output, 'snapshot_id'),
    restoration: idIn(operation, output, 'restoration_id'),
  };
}

function idIn(operation: string, output: string, key: string): string {
  const id = textField(jsonIn(operation, output), key);
  if (id === undefined || !isUuid(id)) throw unreadable(operation, output, `"${key}"`);
  return canonicalUuid(id);
}

/** The id in the output of `create_snapshot_schedule`. Throws `YB_ADMIN_UNREADABLE`. */
export function parseCreatedSchedule(output: string): string {
  return idIn('create_snapshot_schedule', output, 'schedule_id');
}
