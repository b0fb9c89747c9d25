import { readCron } from '../../compiler/cron.ts';
import { readTimezone } from '../../compiler/timezone.ts';

describe('a cron line', () => {
  test.each([
    ['0 2 * * *', '0 2 * * *'],
    ['  */15   8-18/2 * jan-jun,9 Mon-Fri ', '*/15 8-18/2 * jan-jun,9 Mon-Fri'],
    ['0 0 29 2 *', '0 0 29 2 *'],
    ['5/20 * * jan,DEC 7', '5/20 * * jan,DEC 7'],
    ['0 6 1-7 * mon', '0 6 1-7 * mon'],
    ['0 6 */2 * mon', '0 6 */2 * mon'],
    ['0 6 1 * 0-6', '0 6 1 * 0-6'],
    ['@daily', '@daily'],
  ])('%j is read as %j', (text, value) => {
    expect(readCron(text)).toEqual({ value });
  });

  test.each([
    '',
    '* * * *',
    '0 2 * * * *',
    '60 * * * *',
    '0 0 0 * *',
    '0 0 * 13 *',
    '0 0 * * 8',
    '0 0 L * *',
    '0 0 ? * *',
    '0 0 31 2 sun',
    '0 0 30 2 *',
    '0 0 * * 5-7',
    '0 0 * * 1-7',
    '0 0 13 * 5',
    '0 0 1,15 * mon-fri',
    '0 0 1-8 * mon',
  ])('%j is refused', (text) => {
    expect(readCron(text)).toHaveProperty('problem.code', 'BAD_CRON');
  });

  test.each(['1-', '-1', '1-2-3', ',1', '1,,2', '*/', '*/x', '1.5', 'x'])(
    '%j is no field of one',
    (field) => {
      expect(readCron(`${field} * * * *`)).toHaveProperty('problem.code', 'BAD_CRON');
    },
  );
});

describe('a time zone', () => {
  test.each([
    'UTC',
    'Europe/Berlin',
    'America/Argentina/Buenos_Aires',
    'Asia/Kolkata',
    'Asia/Calcutta',
    'Europe/Kyiv',
    'Etc/GMT+5',
    'US/Eastern',
    'America/Port-au-Prince',
  ])('%s is known', (name) => {
    expect(readTimezone(name)).toEqual({ value: name });
  });

  // Intl takes any case, and the Temporal server, which reads zones from files, only the name's own.
  test.each([
    ['utc', 'UTC'],
    ['Utc', 'UTC'],
    ['europe/berlin', 'Europe/Berlin'],
    ['EUROPE/BERLIN', 'Europe/Berlin'],
    ['asia/kolkata', 'Asia/Kolkata'],
    ['us/eastern', 'US/Eastern'],
    ['etc/gmt+5', 'Etc/GMT+5'],
  ])('%s is refused, and %s is what to write', (name, canonical) => {
    expect(readTimezone(name)).toMatchObject({
      problem: { code: 'BAD_TIMEZONE', remedy: `Write \`${canonical}\`.` },
    });
  });

  test.each(['', 'Mars/Olympus', '+02:00', 'Europe/Berlin '])('%j is refused', (name) => {
    expect(readTimezone(name)).toHaveProperty('problem.code', 'BAD_TIMEZONE');
  });
});
