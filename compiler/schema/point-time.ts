import { z } from 'zod';
import type { Problem } from '../diagnostic.ts';
import { readSize, SIZE_PATTERN } from '../size.ts';
import { alsoCheck, duration, memberOf, reading } from './parts.ts';

const MINUTE_MS = 60_000;

const inCluster = z
  .strictObject({
    interval: duration('How often the universe makes a snapshot of its own; whole minutes.', '1h').prefault(
      '1h',
    ),
    retention: duration(
      'How far back in time the universe can be taken; longer than `interval`.',
      '3d',
    ).prefault('3d'),
    adopt: z
      .boolean()
      .prefault(false)
      .meta({
        description: 'Take over a snapshot schedule that somebody else made for the database.',
        examples: [true],
      }),
  })
  .check(
    alsoCheck(({ interval, retention }) => {
      if (typeof interval !== 'number' || typeof retention !== 'number') return undefined;
      const wrong = { interval, retention } as const;
      for (const [key, value] of Object.entries(wrong)) {
        if (value % MINUTE_MS !== 0 || value === 0)
          return { params: { problem: notMinutes(key) }, path: [key] };
      }
      return retention > interval ? undefined : { params: { problem: TOO_SHORT }, path: ['retention'] };
    }),
  )
  .meta({
    description:
      'Snapshot schedules of the universe, made and kept by `apply`: recovery to any instant, in place or as a clone.',
    examples: [{ interval: '1h', retention: '3d' }],
  });

const notMinutes = (key: string): Problem => ({
  code: 'BAD_DURATION',
  message: `\`${key}\` is not a whole number of minutes`,
  remedy: 'Write e.g. 30m, 1h or 3d.',
});

const TOO_SHORT: Problem = {
  code: 'OUT_OF_RANGE',
  message: '`retention` is not longer than `interval`',
  remedy: 'Write e.g. interval: 1h with retention: 3d.',
};

const HOUR_MS = 60 * MINUTE_MS;

const archive = z
  .strictObject({
    lag: duration(
      'A segment is stored after this time, at the end of a transaction: what a loss of the source may cost. 1s to 1h.',
      '5s',
    ).prefault('5s'),
    segmentSize: reading((value) => readSize(value, '64KiB', '256MiB'), {
      description:
        'A segment is stored once it is so large, whatever `lag` says. 64KiB to 256MiB, compressed.',
      pattern: SIZE_PATTERN,
      examples: ['16MiB'],
    }).prefault('16MiB'),
    retention: duration('How far back any second is kept; at least 1h.', '7d').prefault('7d'),
    maxSourceLag: reading((value) => readSize(value, '64MiB', '16TiB'), {
      description:
        'Once the source keeps so much WAL for the archive, the archive gives its slot up, says so, and begins anew. YugabyteDB tells no bytes: there a slot that was not read for 8 hours is given up, whatever this says.',
      pattern: SIZE_PATTERN,
      examples: ['20GiB'],
    }).prefault('20GiB'),
  })
  .check(
    alsoCheck(({ lag, retention }) => {
      const isBad = typeof lag === 'number' && (lag < 1_000 || lag > HOUR_MS);
      const isShort = typeof retention === 'number' && retention < HOUR_MS;
      return [
        ...(isBad ? [{ params: { problem: BAD_LAG }, path: ['lag'] }] : []),
        ...(isShort ? [{ params: { problem: SHORT_ARCHIVE }, path: ['retention'] }] : []),
      ];
    }),
  )
  .meta({
    description:
      'An archive of changes in the repository, by logical replication from PostgreSQL 15 or newer, or YugabyteDB 2025.2.2 or newer. `apply` makes a publication and a replication slot in each database; without this key it drops them.',
    examples: [{ lag: '5s', retention: '7d' }],
  });

const BAD_LAG: Problem = {
  code: 'OUT_OF_RANGE',
  message: '`lag` is not between 1s and 1h',
  remedy: 'Write e.g. lag: 5s.',
};

const SHORT_ARCHIVE: Problem = {
  code: 'OUT_OF_RANGE',
  message: '`retention` is shorter than 1h',
  remedy: 'Write e.g. retention: 7d.',
};

const offCluster = z
  .strictObject({
    every: duration(
      'How often the universe makes a snapshot of its own that is exported; whole minutes, at most a day. A cluster that is lost takes the changes since the last one with it.',
      '15m',
    ).prefault('15m'),
    retention: duration(
      'How far back every instant is kept in the repository; longer than `every`. The snapshots that carry it are not counted by `spec.retention`.',
      '7d',
    ).prefault('7d'),
  })
  .check(
    alsoCheck(({ every, retention }) => {
      if (typeof every !== 'number' || typeof retention !== 'number') return undefined;
      if (every % MINUTE_MS !== 0 || every === 0)
        return { params: { problem: notMinutes('every') }, path: ['every'] };
      if (every > 24 * HOUR_MS) return { params: { problem: TOO_SELDOM }, path: ['every'] };
      return retention > every ? undefined : { params: { problem: TOO_SHORT_OFF }, path: ['retention'] };
    }),
  )
  .meta({
    description:
      'Every instant off the cluster: each snapshot of a snapshot schedule is exported as a backup, with the history of rows back to the one before it. For a plan of one database or keyspace.',
    examples: [{ every: '15m', retention: '7d' }],
  });

const TOO_SELDOM: Problem = {
  code: 'OUT_OF_RANGE',
  message: '`every` is longer than a day: the universe would have to keep all history of rows for so long',
  remedy: 'Write e.g. every: 15m.',
};

const TOO_SHORT_OFF: Problem = {
  code: 'OUT_OF_RANGE',
  message: '`retention` is not longer than `every`',
  remedy: 'Write e.g. every: 15m with retention: 7d.',
};

const NOTHING: Problem = {
  code: 'MISSING_KEY',
  message: '`pointTime` says nothing',
  remedy:
    'Write `archive: {}` for a source `ysql`, `inCluster: {}` or `offCluster: {}` for a universe, or leave `pointTime` out.',
};

const TWO_INTERVALS: Problem = {
  code: 'OUT_OF_RANGE',
  message:
    '`inCluster.interval` is not `offCluster.every`: a database has one snapshot schedule, and each of its snapshots is exported',
  remedy: 'Write the same for both, e.g. 15m.',
};

export const pointTime = z
  .strictObject({
    inCluster: inCluster.optional(),
    offCluster: offCluster.optional(),
    archive: archive.optional(),
  })
  .check(
    alsoCheck((wanted) =>
      Object.keys(wanted).length === 0 ? { params: { problem: NOTHING }, path: [] } : undefined,
    ),
  )
  .check(
    alsoCheck(({ inCluster: inside, offCluster: outside }) => {
      if (inside === undefined || outside === undefined) return undefined;
      const [interval, every] = [memberOf(inside, 'interval'), memberOf(outside, 'every')];
      return interval === every || typeof interval !== 'number' || typeof every !== 'number'
        ? undefined
        : { params: { problem: TWO_INTERVALS }, path: ['inCluster', 'interval'] };
    }),
  )
  .meta({
    description: 'Recovery to any instant, not only to those of backups.',
    examples: [
      { inCluster: { interval: '1h', retention: '3d' } },
      { offCluster: { every: '15m', retention: '7d' } },
      { archive: { lag: '5s', retention: '7d' } },
    ],
  });

/** The error of a plan that archives changes of something other than PostgreSQL. */
export const ONLY_OF_POSTGRESQL: Problem = {
  code: 'MISPLACED_KEY',
  message: '`pointTime.archive` is for `source.ysql` alone',
  remedy: 'Leave it out; a universe has `pointTime.inCluster`.',
};

/** The error of a plan that asks for a universe's history and has no universe. */
export function onlyOfAUniverse(key: 'inCluster' | 'offCluster'): Problem {
  return {
    code: 'MISPLACED_KEY',
    message: `\`pointTime.${key}\` is for \`source.universe\` alone`,
    remedy: 'Leave it out, or back up the database as a `universe`.',
  };
}

/**
 * The error of several databases with history off the cluster: each has its own schedule, whose snapshots are of other instants.
 */
export const ONE_DATABASE_OFF_CLUSTER: Problem = {
  code: 'OUT_OF_RANGE',
  message: '`pointTime.offCluster` is for a plan of one database or keyspace',
  remedy:
    'Give each database a plan of its own: each has its own snapshot schedule, and one instant of several would fall between their snapshots.',
};
