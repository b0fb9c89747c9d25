import { localTime, prettyJson, utcTime } from '../format.ts';
import {
  beginClone,
  beginRewind,
  clonesOf,
  createSchedule,
  findSchedule,
  snapshotsOf,
} from '../schedules.ts';
import type { ScheduleState } from '../state.ts';
import { Failure } from '../status.ts';
import { type Call, type Operation, resolveNamespace, usageFailure } from './operation.ts';

const MS_PER_MINUTE = 60_000;

export const scheduleOperations: readonly Operation[] = [
  {
    name: 'create_snapshot_schedule',
    usage: '<snapshot_interval_in_minutes> <snapshot_retention_in_minutes> <keyspace>',
    arity: [3, 3],
    prefix: () => 'Unable to create snapshot schedule',
    run: async ({ world, args: [interval = '', retention = '', name = ''] }) => {
      const namespace = await resolveNamespace(world, name);
      const schedule = await createSchedule(world, namespace, minutes(interval), minutes(retention));
      return { stdout: prettyJson({ schedule_id: schedule.id }) };
    },
  },
  {
    name: 'list_snapshot_schedules',
    usage: '[<schedule_id>]',
    arity: [0, 1],
    prefix: () => 'Unable to list snapshot schedules',
    run: async (call) => {
      const [id] = call.args;
      const shown = id === undefined ? call.world.state.schedules : [findSchedule(call.world, id)];
      return { stdout: prettyJson({ schedules: shown.map((schedule) => describe(call, schedule)) }) };
    },
  },
  {
    name: 'edit_snapshot_schedule',
    usage: '<schedule_id> (interval <new_interval_in_minutes> | retention <new_retention_in_minutes>){1,2}',
    arity: [3, 5],
    prefix: () => 'Unable to edit snapshot schedule',
    run: async (call) => {
      const [id = '', ...changes] = call.args;
      const schedule = findSchedule(call.world, id);
      for (let at = 0; at < changes.length; at += 2) {
        const value = minutes(changes[at + 1] ?? '');
        if (changes[at] === 'interval') schedule.intervalMs = value;
        else if (changes[at] === 'retention') schedule.retentionMs = value;
        else throw usageFailure();
      }
      return { stdout: prettyJson({ schedule: describe(call, schedule) }) };
    },
  },
  {
    name: 'delete_snapshot_schedule',
    usage: '<schedule_id>',
    arity: [1, 1],
    prefix: () => 'Unable to delete snapshot schedule',
    run: async ({ world, args: [id = ''] }) => {
      findSchedule(world, id).deletedAt = world.now();
      return { stdout: prettyJson({ schedule_id: id }) };
    },
  },
  {
    name: 'restore_snapshot_schedule',
    usage: '<schedule_id> (<timestamp> | minus <interval>)',
    arity: [2, 5],
    prefix: () => '',
    run: async ({ world, args: [id = '', ...when] }) => {
      const restoration = await beginRewind(world, findSchedule(world, id), instant(world.now(), when));
      return { stdout: prettyJson({ snapshot_id: restoration.snapshotId, restoration_id: restoration.id }) };
    },
  },
  {
    name: 'clone_namespace',
    usage: '<source_namespace> <target_namespace_name> [<timestamp> | minus <interval>]',
    arity: [2, 5],
    known: (world) => world.profile.clones,
    prefix: () => 'Unable to clone namespace',
    run: async ({ world, args: [source = '', target = '', ...when] }) => {
      const namespace = await resolveNamespace(world, source);
      const clone = await beginClone(
        world,
        namespace,
        target,
        when.length === 0 ? world.hybridTime() : instant(world.now(), when),
      );
      return { stdout: prettyJson({ source_namespace_id: namespace.id, seq_no: String(clone.sequence) }) };
    },
  },
  {
    name: 'list_clones',
    usage: '<source_namespace_id> [<seq_no>]',
    arity: [1, 2],
    known: (world) => world.profile.clones,
    prefix: () => 'Unable to list clones',
    run: async ({ world, args: [id = '', sequence], timezone }) => ({
      stdout: prettyJson(
        clonesOf(world, id)
          .filter((clone) => sequence === undefined || String(clone.sequence) === sequence)
          .map(({ state, sourceNamespaceId, sequence: number, target, micros }) => ({
            aggregate_state: state,
            source_namespace_id: sourceNamespaceId,
            seq_no: String(number),
            target_namespace_name: target,
            restore_time: localTime(micros, timezone),
          })),
      ),
    }),
  },
];

function minutes(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) === 0) throw usageFailure();
  return Number(text) * MS_PER_MINUTE;
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses an instant: microseconds, a time with or without a zone (default UTC), or `minus 1h 5m`. */
function instant(now: number, words: readonly string[]): string {
  const [first = ''] = words;
  if (first === 'minus') {
    const back = words
      .slice(1)
      .flatMap((part) => [...part.matchAll(/(\d+)([smhd])/g)])
      .reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS[unit ?? ''] ?? 0), 0);
    return String(BigInt(now - back) * 1000n);
  }
  if (/^\d+$/.test(first)) return first;
  const time = Date.parse(
    /(?:Z|[+-]\d\d:?\d\d)$/.test(words.join('T')) ? words.join('T') : `${words.join('T')}Z`,
  );
  if (Number.isNaN(time)) throw new Failure('Invalid argument', `Invalid timestamp: ${words.join(' ')}`);
  return String(BigInt(time) * 1000n);
}

function describe({ world, timezone }: Call, schedule: ScheduleState): object {
  const old = world.profile.schedules === 'old';
  const time = (micros: string): string => (old ? utcTime(micros) : localTime(micros, timezone));
  const interval = (ms: number): string => (old ? `${(ms / 1000).toFixed(3)}s` : `${ms / MS_PER_MINUTE} min`);
  const key = old ? 'snapshot_time_utc' : 'snapshot_time';
  const namespace = world.state.namespaces.find(({ id }) => id === schedule.namespaceId);
  return {
    id: schedule.id,
    options: {
      ...(old ? {} : { filter: `${namespace?.kind}.${namespace?.name}` }),
      interval: interval(schedule.intervalMs),
      retention: interval(schedule.retentionMs),
      ...(schedule.deletedAt === undefined
        ? {}
        : { delete_time: time(String(BigInt(schedule.deletedAt) * 1000n)) }),
    },
    snapshots: snapshotsOf(world, schedule).map(({ id, micros, previousMicros }) => ({
      id,
      [key]: time(micros),
      ...(previousMicros === undefined ? {} : { [`previous_${key}`]: time(previousMicros) }),
    })),
  };
}
