/*
 * Cron lines as Temporal's schedules read them. The grammar is our own, since Temporal reads the text in the end, and general
 * libraries accept more than Temporal does (seconds first, `L`, `W`, `#`, `H`). The compiler reports what is wrong with a line
 * (`compiler/cron.ts`); `planning/next-runs.ts` computes when a line is due.
 */

/** A field of a cron line, with its bounds (both included). */
export interface CronField {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  /** Names of the values, beginning with that of `least`. */
  readonly names?: readonly string[];
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** Sunday's second number; the first is 0. */
const SUNDAY_AGAIN = 7;

/** The five fields of a line, in their order. */
export const CRON_FIELDS: readonly CronField[] = [
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of the month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12, names: MONTHS },
  { name: 'day of the week', least: 0, most: SUNDAY_AGAIN, names: WEEKDAYS },
];

/** What may replace the five fields, with the line that it means. */
export const CRON_SHORTHANDS: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
};

/** Why a text is not a value of a field. `text` is the wrong part. */
export type CronFault =
  | { readonly kind: 'separator' | 'step' | 'question-mark' | 'value'; readonly text: string }
  /** A wrong range from `first` to `last`. `drops-sunday`: Temporal leaves out a Sunday that ends a range as 7. */
  | {
      readonly kind: 'backwards' | 'drops-sunday';
      readonly text: string;
      readonly first: string;
      readonly last: string;
      readonly from: number;
    };

type CronReading<T> = { readonly value: T } | { readonly fault: CronFault };

/** The values that a field's text means, in the order of the text. */
export function readCronField(text: string, field: CronField): CronReading<readonly number[]> {
  const values: number[] = [];
  for (const item of text.split(',')) {
    const [, range, step] = /^([^/]+)(?:\/(.*))?$/.exec(item) ?? [];
    if (range === undefined) return { fault: { kind: 'separator', text } };
    const bounds = readRange(range, field, step !== undefined);
    if ('fault' in bounds) return bounds;
    const every = step === undefined ? 1 : Number(step);
    if (!/^[0-9]+$/.test(step ?? '1') || every < 1 || every > field.most)
      return { fault: { kind: 'step', text: `/${step}` } };
    for (let value = bounds.value.from; value <= bounds.value.to; value += every) values.push(value);
  }
  return { value: values };
}

function readRange(
  text: string,
  field: CronField,
  isStepped: boolean,
): CronReading<{ readonly from: number; readonly to: number }> {
  if (text === '?') return { fault: { kind: 'question-mark', text } };
  if (text === '*') return { value: { from: field.least, to: field.most } };
  const [first = '', last, more] = text.split('-');
  const from = readNumber(first, field);
  const to = last === undefined ? (isStepped ? field.most : from) : readNumber(last, field);
  if (from === undefined || to === undefined || more !== undefined) return { fault: { kind: 'value', text } };
  if (last === undefined) return { value: { from, to } };
  if (from > to) return { fault: { kind: 'backwards', text, first, last, from } };
  if (from < to && field.most === SUNDAY_AGAIN && to === SUNDAY_AGAIN)
    return { fault: { kind: 'drops-sunday', text, first, last, from } };
  return { value: { from, to } };
}

function readNumber(text: string, field: CronField): number | undefined {
  const named = field.names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0) return named + field.least;
  if (!/^[0-9]{1,2}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= field.least && value <= field.most ? value : undefined;
}

/** The values at which a line is due. Every field must match. Sunday is 0 here. */
export interface CronTimes {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly weekdays: ReadonlySet<number>;
}

/** The times of a valid line. @throws RangeError for a line that the compiler refuses */
export function cronTimes(line: string): CronTimes {
  const words = (CRON_SHORTHANDS[line] ?? line).split(' ');
  const [minutes, hours, days, months, weekdays] = CRON_FIELDS.map((field, index) => {
    const reading = readCronField(words[index] ?? '', field);
    if ('fault' in reading) throw new RangeError(`cron line "${line}": bad ${field.name}`);
    return new Set(reading.value);
  });
  if (!minutes || !hours || !days || !months || !weekdays)
    throw new RangeError('a cron line has five fields');
  if (weekdays.delete(SUNDAY_AGAIN)) weekdays.add(0);
  return { minutes, hours, days, months, weekdays };
}
