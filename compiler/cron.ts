import {
  CRON_FIELDS,
  CRON_SHORTHANDS,
  type CronFault,
  type CronField,
  readCronField,
} from '../model/cron.ts';
import { didYouMean } from './closest.ts';
import { quoted, type Reading, refused } from './diagnostic.ts';

const SHORTHANDS = Object.keys(CRON_SHORTHANDS);
const DAYS_IN_A_WEEK = 7;

const LONGEST_MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const GENERAL_REMEDY =
  'Write minute, hour, day of the month, month and day of the week, such as `0 2 * * *` for 02:00 each day.';

/** Checks a cron line of five fields, or a shorthand such as `@daily`. Returns it with single spaces. */
export function readCron(text: string): Reading<string> {
  if (text.startsWith('@')) {
    if (SHORTHANDS.includes(text)) return { value: text };
    return refused(
      'BAD_CRON',
      `${quoted(text)} is not a cron shorthand`,
      didYouMean(text, SHORTHANDS) ?? `Write one of ${SHORTHANDS.join(', ')}, or five fields.`,
    );
  }
  const words = [...text.matchAll(/\S+/g)];
  if (words.length !== CRON_FIELDS.length) {
    const hint =
      words.length === CRON_FIELDS.length + 1
        ? 'Leave out the seconds: a schedule starts on a whole minute. '
        : '';
    return refused(
      'BAD_CRON',
      `${quoted(text)} has ${words.length} ${words.length === 1 ? 'field' : 'fields'}, and a cron line has five`,
      hint + GENERAL_REMEDY,
    );
  }
  const values: (readonly number[])[] = [];
  for (const [index, word] of words.entries()) {
    const field = CRON_FIELDS[index];
    if (field === undefined) continue;
    const reading = readCronField(word[0], field);
    if ('fault' in reading) {
      const start = word.index;
      const { problem } = describeFault(reading.fault, field);
      return { problem: { ...problem, part: { start, end: start + word[0].length } } };
    }
    values.push(reading.value);
  }
  const [, , days = [], months = [], weekdays = []] = values;
  // Within some years every date falls on every weekday, so a weekday never makes a line impossible.
  const possible = months.some((month) => days.some((day) => day <= (LONGEST_MONTH_DAYS[month - 1] ?? 0)));
  if (!possible) {
    return refused(
      'BAD_CRON',
      `${quoted(text)} never comes: none of its months has that day`,
      'Write a day that the month has.',
      { start: words[2]?.index ?? 0, end: (words[3]?.index ?? 0) + (words[3]?.[0].length ?? 0) },
    );
  }
  const [dayText = '', weekdayText = ''] = [words[2]?.[0], words[4]?.[0]];
  if (isAmbiguous(dayText, weekdayText, days, weekdays)) {
    const line = (day: string, weekday: string) =>
      [words[0]?.[0], words[1]?.[0], day, words[3]?.[0], weekday].join(' ');
    return refused(
      'BAD_CRON',
      `${quoted(text)} has a day of the month and a day of the week: cron(8) starts on either, a Temporal schedule only where both fall together`,
      `For either, write two lines: \`["${line(dayText, '*')}", "${line('*', weekdayText)}"]\`. For the first such weekday of a month, write its days as \`1-7\`.`,
      { start: words[2]?.index ?? 0, end: (words[4]?.index ?? 0) + weekdayText.length },
    );
  }
  return { value: words.map(([word]) => word).join(' ') };
}

/**
 * True where cron(8) would start on more days than Temporal does: people might notice that only when a backup is missing. A star in
 * either field means the same to both. Seven days in a row with a weekday (`1-7 * mon`, the first Monday) can mean only one thing.
 */
function isAmbiguous(
  dayText: string,
  weekdayText: string,
  days: readonly number[],
  weekdays: readonly number[],
): boolean {
  if (dayText.startsWith('*') || weekdayText.startsWith('*')) return false;
  const isEveryWeekday = new Set(weekdays.map((day) => day % DAYS_IN_A_WEEK)).size === DAYS_IN_A_WEEK;
  const isWeek = days.length === DAYS_IN_A_WEEK && (days.at(-1) ?? 0) - (days[0] ?? 0) === days.length - 1;
  return !isEveryWeekday && !isWeek && new Set(days).size < 31;
}

/** What is wrong with a field, and what to write instead. */
function describeFault(fault: CronFault, field: CronField): ReturnType<typeof refused> {
  const { name, least, most, names } = field;
  const text = quoted(fault.text);
  switch (fault.kind) {
    case 'separator':
      return refused(
        'BAD_CRON',
        `${text} does not fit the ${name}`,
        'Write values separated by single commas.',
      );
    case 'step':
      return refused(
        'BAD_CRON',
        `${text} is not a step of the ${name}`,
        `Write a whole number from 1 to ${most} after the slash, such as \`*/5\`.`,
      );
    case 'question-mark':
      return refused('BAD_CRON', `${text} is not known to Temporal's schedules`, 'Write `*`.');
    case 'value': {
      const named = names === undefined ? '' : ` or ${names[0]} to ${names.at(-1)}`;
      return refused(
        'BAD_CRON',
        `${text} does not fit the ${name}`,
        `Write a number from ${least} to ${most}${named}, a range such as \`1-5\`, a step such as \`*/5\`, or \`*\`.`,
      );
    }
    case 'backwards':
      return refused(
        'BAD_CRON',
        `The range ${text} of the ${name} ends before it begins`,
        `Write \`${fault.last}-${fault.first}\`, or two ranges with a comma between.`,
      );
    case 'drops-sunday':
      return refused(
        'BAD_CRON',
        `Temporal leaves the Sunday out at the end of the range ${text}`,
        fault.from <= 1 ? 'Write `*`.' : `Write \`${fault.first}-6,0\`.`,
      );
  }
}
