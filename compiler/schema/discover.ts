import { z } from 'zod';
import { refused } from '../diagnostic.ts';
import { alsoCheck, duration, memberOf } from './parts.ts';

const AT_LEAST_MS = 10_000;

/** `spec.discover` of a plan. */
export const discover = z
  .strictObject({
    every: duration('How often the server is asked for its databases; at least 10s.', '15m').prefault('15m'),
  })
  .check(
    alsoCheck(({ every }) =>
      typeof every === 'number' && every < AT_LEAST_MS
        ? {
            params: {
              problem: refused('OUT_OF_RANGE', '`every` is shorter than 10s', 'Write 10s or longer.').problem,
            },
            path: ['every'],
          }
        : undefined,
    ),
  )
  .meta({
    description:
      'Each database that `source.ysql.databases` matches becomes a plan of its own, `<this plan>-<database>`, with everything else of this plan. See docs/plan-language.md.',
    examples: [{ every: '15m' }],
  });

/** What a plan with `discover` must have, and may not have. */
export const discoverFits = alsoCheck(({ discover: wanted, source, pointTime }) => {
  if (wanted === undefined) return undefined;
  const faults = [];
  if (memberOf(memberOf(source, 'ysql'), 'databases') === undefined) {
    const { problem } = refused(
      'MISPLACED_KEY',
      '`discover` needs `source.ysql.databases`, which says what to look for',
      'Write e.g. `databases: { exclude: [postgres] }` into `source.ysql`, or leave `discover` out.',
    );
    faults.push({ params: { problem }, path: ['discover'] });
  }
  if (pointTime !== undefined) {
    const { problem } = refused(
      'MISPLACED_KEY',
      '`pointTime` is not for plans with `discover`: an archive keeps a slot in each database, and none that has one can be dropped',
      'Leave it out, and write plans by hand for the databases that need it.',
    );
    faults.push({ params: { problem }, path: ['pointTime'] });
  }
  return faults;
});
