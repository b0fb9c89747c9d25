import { didYouMean } from './closest.ts';
import { quoted, type Reading, refused } from './diagnostic.ts';

/*
 * Checked here rather than by a cron library: Temporal's schedules are what reads the text in the end, and general
 * libraries accept more than they do (seconds first, `L`, `W`, `#`, `H`); and the offending field is to be underlined.
 */

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  readonly names?: readonly string[];
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** The other number of Sunday, beside 0. */
const SUNDAY_AGAIN = 7;

const FIELDS: readonly Field[] = [
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of the month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12, names: MONTHS },
  { name: 'day of the week', least: 0, most: SUNDAY_AGAIN, names: WEEKDAYS },
];

const SHORTHANDS = ['@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually'];

const LONGEST_MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const GENERAL_REMEDY =
  'Write minute, hour, day of the month, month and day of the week, such as `0 2 * * *` for 02:00 each day.';

/** Checks a cron line of five fields, or a shorthand such as `@daily`; gives it back with single spaces. */
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
  if (words.length !== FIELDS.length) {
    const hint =
      words.length === FIELDS.length + 1
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
    const field = FIELDS[index];
    if (field === undefined) continue;
    const reading = readField(word[0], field);
    if ('problem' in reading) {
      const start = word.index;
      return { problem: { ...reading.problem, part: { start, end: start + word[0].length } } };
    }
    values.push(reading.value);
  }
  const [, , days = [], months = [], weekdays = []] = values;
  // Every day of the year falls on every weekday within some years, so that a weekday makes no line impossible.
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
 * True where cron(8) would start on more days than Temporal does, which nobody may find out from a backup that is missing. A star
 * in either field means the same to both; and seven days in a row with a weekday (`1-7 * mon`, the first Monday) mean one thing alone.
 */
function isAmbiguous(
  dayText: string,
  weekdayText: string,
  days: readonly number[],
  weekdays: readonly number[],
): boolean {
  if (dayText.startsWith('*') || weekdayText.startsWith('*')) return false;
  const isEveryWeekday = new Set(weekdays.map((day) => day % WEEKDAYS.length)).size === WEEKDAYS.length;
  const isWeek = days.length === WEEKDAYS.length && (days.at(-1) ?? 0) - (days[0] ?? 0) === days.length - 1;
  return !isEveryWeekday && !isWeek && new Set(days).size < 31;
}

/** The values that a field stands for. */
function readField(text: string, field: Field): Reading<readonly number[]> {
  const values: number[] = [];
  for (const item of text.split(',')) {
    const [, range, step] = /^([^/]+)(?:\/(.*))?$/.exec(item) ?? [];
    if (range === undefined) {
      return refused(
        'BAD_CRON',
        `${quoted(text)} does not fit the ${field.name}`,
        'Write values separated by single commas.',
      );
    }
    const bounds = readRange(range, field, step !== undefined);
    if ('problem' in bounds) return bounds;
    const every = step === undefined ? 1 : Number(step);
    if (!/^[0-9]+$/.test(step ?? '1') || every < 1 || every > field.most) {
      return refused(
        'BAD_CRON',
        `${quoted(`/${step}`)} is not a step of the ${field.name}`,
        `Write a whole number from 1 to ${field.most} after the slash, such as \`*/5\`.`,
      );
    }
    for (let value = bounds.value.from; value <= bounds.value.to; value += every) values.push(value);
  }
  return { value: values };
}

function readRange(
  text: string,
  field: Field,
  stepped: boolean,
): Reading<{ readonly from: number; readonly to: number }> {
  if (text === '?') {
    return refused('BAD_CRON', `${quoted(text)} is not known to Temporal's schedules`, 'Write `*`.');
  }
  if (text === '*') return { value: { from: field.least, to: field.most } };
  const [first = '', last, more] = text.split('-');
  const from = readNumber(first, field);
  const to = last === undefined ? (stepped ? field.most : from) : readNumber(last, field);
  if (from === undefined || to === undefined || more !== undefined) {
    const names = field.names === undefined ? '' : ` or ${field.names[0]} to ${field.names.at(-1)}`;
    return refused(
      'BAD_CRON',
      `${quoted(text)} does not fit the ${field.name}`,
      `Write a number from ${field.least} to ${field.most}${names}, a range such as \`1-5\`, a step such as \`*/5\`, or \`*\`.`,
    );
  }
  if (from > to) {
    return refused(
      'BAD_CRON',
      `The range ${quoted(text)} of the ${field.name} ends before it begins`,
      `Write \`${last}-${first}\`, or two ranges with a comma between.`,
    );
  }
  if (last !== undefined && from < to && field.most === SUNDAY_AGAIN && to === SUNDAY_AGAIN) {
    return refused(
      'BAD_CRON',
      `Temporal leaves the Sunday out at the end of the range ${quoted(text)}`,
      from <= 1 ? 'Write `*`.' : `Write \`${first}-6,0\`.`,
    );
  }
  return { value: { from, to } };
}

function readNumber(text: string, field: Field): number | undefined {
  const named = field.names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0) return named + field.least;
  if (!/^[0-9]{1,2}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= field.least && value <= field.most ? value : undefined;
}
