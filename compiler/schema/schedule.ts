import { z } from 'zod';
import { readCron } from '../cron.ts';
import { readTimezone } from '../timezone.ts';
import { readWindow, WINDOW_PATTERN } from '../window.ts';
import { alsoCheck, duration, reading } from './parts.ts';

const cronLine = reading(readCron, {
  description: 'Minute, hour, day of the month, month, day of the week; or `@hourly`, `@daily`, `@weekly` ….',
  minLength: 1,
  examples: ['0 2 * * *'],
});

const cron = (description: string, example: string) =>
  z.union([cronLine, z.array(cronLine).min(1)]).meta({ description, examples: [example] });

const timezone = (description: string) =>
  reading(readTimezone, { description, minLength: 1, examples: ['Europe/Berlin'] });

/** @param what the thing that starts by itself, in the plural and in the singular */
export const scheduleOf = (what: { readonly many: string; readonly one: string }) =>
  z
    .strictObject({
      cron: cron('One cron line, or a list of them. Five fields, or `@daily` and its like.', '0 2 * * *'),
      timezone: timezone('Time zone of the cron lines, by its IANA name.').prefault('UTC'),
      overlap: z
        .enum(['skip', 'buffer', 'cancel', 'allow'])
        .prefault('skip')
        .meta({
          description: `When ${what.one} is due while the last one still runs: skip it, run it afterwards, cancel the running one, or run both.`,
          examples: ['skip'],
        }),
    })
    .meta({ description: `When ${what.many} start by themselves.`, examples: [{ cron: '0 2 * * *' }] });

const windowSpan = reading(readWindow, {
  description: 'Two times of a day; one that ends before it begins goes over midnight.',
  pattern: WINDOW_PATTERN,
  examples: ['22:00-05:00'],
});

export const transferWindow = z.union([windowSpan, z.array(windowSpan).min(1).max(24)]).meta({
  description:
    'When chunks are read, or a list of such times, by the clocks of `schedule.timezone` (UTC without a schedule). Outside of it a run that is under way pauses between two chunks, and goes on when the window opens. Left out, always.',
  examples: ['22:00-05:00'],
});

const keep = (description: string, example: number) =>
  z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .meta({ description, examples: [example] });

/** Keys of a retention that alone keep no backup. */
const KEEP_NOTHING: readonly string[] = ['minCount', 'minAge', 'grace', 'timezone', 'cron'];

export const retention = z
  .strictObject({
    keepLast: keep('The newest backups.', 3),
    keepHourly: keep('How many hours to keep: of each, its newest backup.', 24),
    keepDaily: keep('How many days to keep: of each, its newest backup.', 7),
    keepWeekly: keep('How many weeks to keep: of each, its newest backup.', 5),
    keepMonthly: keep('How many months to keep: of each, its newest backup.', 12),
    keepYearly: keep('How many years to keep: of each, its newest backup.', 3),
    keepWithin: duration('Every backup not older than the newest one by more than this.', '3d').optional(),
    minCount: keep('At least this many of the newest backups stay, whatever the rules above say.', 3),
    minAge: duration(
      'Whatever the rules above: nothing younger than this is dropped, however many newer backups there are.',
      '2d',
    ).optional(),
    grace: duration(
      'Time between the mark of a backup that no rule keeps and its deletion. Left out, a day.',
      '3d',
    ).optional(),
    timezone: timezone(
      'Time zone of the hours, days, weeks (from Monday), months and years. Left out, UTC.',
    ).optional(),
    cron: cron(
      'When `prune` starts by itself, in `timezone`. Left out, every night.',
      '30 4 * * *',
    ).optional(),
  })
  .check(
    alsoCheck((rules) => {
      const given = Object.keys(rules).filter((key) => rules[key] !== undefined);
      // The author may have meant an unknown key as a rule. It gets an error of its own.
      if (given.some((key) => !KEEP_NOTHING.includes(key))) return undefined;
      const message = 'A retention without rules does not say what is kept';
      const remedy = 'Write a rule, such as `keepDaily: 7`; or leave `retention` out to keep everything.';
      return { params: { problem: { code: 'MISSING_KEY', message, remedy } } };
    }),
  )
  .meta({
    description: 'Which backups are kept: those that any of the rules keeps. Left out, all of them.',
    examples: [{ keepLast: 3, keepDaily: 7 }],
  });
