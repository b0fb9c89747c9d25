import { z } from 'zod';
import type { Problem } from '../diagnostic.ts';
import { alsoCheck, duration } from './parts.ts';

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

export const pointTime = z.strictObject({ inCluster }).meta({
  description: 'Recovery to any instant, not only to those of backups.',
  examples: [{ inCluster: { interval: '1h', retention: '3d' } }],
});

/** Only a universe keeps history of its own. */
export const ONLY_OF_A_UNIVERSE: Problem = {
  code: 'MISPLACED_KEY',
  message: '`pointTime.inCluster` is for `source.universe` alone',
  remedy: 'Leave it out, or back up the database as a `universe`.',
};
