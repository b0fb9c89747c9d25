import { z } from 'zod';
import type { Problem } from '../diagnostic.ts';
import { readSize, SIZE_PATTERN } from '../size.ts';
import { alsoCheck, duration, reading } from './parts.ts';

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

const HOUR_MS = 3_600_000;

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
        'Once the source keeps so much WAL for the archive, the archive gives its slot up, says so, and begins anew.',
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
      'An archive of changes in the repository, by logical replication from PostgreSQL 15 or newer. `apply` makes a publication and a replication slot in each database; without this key it drops them.',
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

export const pointTime = z
  .strictObject({ inCluster: inCluster.optional(), archive: archive.optional() })
  .check(
    alsoCheck((wanted) =>
      Object.keys(wanted).length > 0 ? undefined : { params: { problem: NO_WAY_TO_AN_INSTANT } },
    ),
  )
  .meta({
    description: 'Recovery to any instant, not only to those of backups.',
    examples: [{ inCluster: { interval: '1h', retention: '3d' } }],
  });

const NO_WAY_TO_AN_INSTANT: Problem = {
  code: 'MISSING_KEY',
  message: '`pointTime` says nothing',
  remedy:
    'Write `archive: {}` for a source `ysql`, `inCluster: {}` for a universe, or leave `pointTime` out.',
};

/** Only PostgreSQL's changes are archived. */
export const ONLY_OF_POSTGRESQL: Problem = {
  code: 'MISPLACED_KEY',
  message: '`pointTime.archive` is for `source.ysql` alone',
  remedy: 'Leave it out; a universe has `pointTime.inCluster`.',
};

/** Only a universe keeps history of its own. */
export const ONLY_OF_A_UNIVERSE: Problem = {
  code: 'MISPLACED_KEY',
  message: '`pointTime.inCluster` is for `source.universe` alone',
  remedy: 'Leave it out, or back up the database as a `universe`.',
};
