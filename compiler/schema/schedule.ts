import { z } from 'zod';
import { readCron } from '../cron.ts';
import { readTimezone } from '../timezone.ts';
import { alsoCheck, duration, reading } from './parts.ts';

const cronLine = reading(readCron, {
  description: 'Minute, hour, day of the month, month, day of the week; or `@hourly`, `@daily`, `@weekly` ….',
  minLength: 1,
  examples: ['0 2 * * *'],
});

export const schedule = z
  .strictObject({
    cron: z.union([cronLine, z.array(cronLine).min(1)]).meta({
      description: 'One cron line, or a list of them. Five fields, or `@daily` and its like.',
      examples: ['0 2 * * *'],
    }),
    timezone: reading(readTimezone, {
      description: 'Time zone of the cron lines, by its IANA name.',
      minLength: 1,
      examples: ['Europe/Berlin'],
    }).prefault('UTC'),
    overlap: z
      .enum(['skip', 'buffer', 'cancel', 'allow'])
      .prefault('skip')
      .meta({
        description:
          'When a backup is due while the last one still runs: skip it, run it afterwards, cancel the running one, or run both.',
        examples: ['skip'],
      }),
  })
  .meta({ description: 'When backups start by themselves.', examples: [{ cron: '0 2 * * *' }] });

const keep = (description: string, example: number) =>
  z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .meta({ description, examples: [example] });

export const retention = z
  .strictObject({
    keepLast: keep('The newest backups.', 3),
    keepHourly: keep('The newest backup of each of so many hours.', 24),
    keepDaily: keep('The newest backup of each of so many days.', 7),
    keepWeekly: keep('The newest backup of each of so many weeks.', 5),
    keepMonthly: keep('The newest backup of each of so many months.', 12),
    keepYearly: keep('The newest backup of each of so many years.', 3),
    keepWithin: duration('Every backup younger than this.', '3d').optional(),
  })
  .check(
    alsoCheck((rules) => {
      if (Object.values(rules).some((value) => value !== undefined)) return undefined;
      const message = 'A retention without rules does not say what is kept';
      const remedy = 'Write a rule, such as `keepDaily: 7`; or leave `retention` out to keep everything.';
      return { params: { problem: { code: 'MISSING_KEY', message, remedy } } };
    }),
  )
  .meta({
    description: 'Which backups are kept: those that any of the rules keeps. Left out, all of them.',
    examples: [{ keepLast: 3, keepDaily: 7 }],
  });
