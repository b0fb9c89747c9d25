import fc from 'fast-check';
import { describeInstant, readInstant } from '../../planning/instant.ts';

const NOW = new Date('2026-11-29T14:00:00.500Z');

function read(text: string): string {
  const reading = readInstant(text, NOW);
  return 'at' in reading ? reading.at.toISOString() : `${reading.problem} | ${reading.remedy}`;
}

describe('an instant as people have it', () => {
  test.each([
    // What psql prints: `SELECT now()` with a whole hour, with minutes, and with trailing zeros cut.
    ['2026-11-29 13:48:00.469+00', '2026-11-29T13:48:00.469Z'],
    ['2026-11-29 13:48:00+05:30', '2026-11-29T08:18:00.000Z'],
    ['2026-11-29 13:48:00.4-03', '2026-11-29T16:48:00.400Z'],
    ['2026-11-29 13:48:00 UTC', '2026-11-29T13:48:00.000Z'],
    ['2026-11-29 13:48 utc', '2026-11-29T13:48:00.000Z'],
    ['2026-11-29 13:48:00 Z', '2026-11-29T13:48:00.000Z'],
    ['2026-11-29 13:48:00 +0100', '2026-11-29T12:48:00.000Z'],
    ['2026-11-29 13:48:00,469Z', '2026-11-29T13:48:00.469Z'],
    ['2026-11-29T13:48:00.469000Z', '2026-11-29T13:48:00.469Z'],
    ['2026-11-29 13:48:00 Europe/Berlin', '2026-11-29T12:48:00.000Z'],
    ['2026-07-29 13:48:00.25 europe/berlin', '2026-07-29T11:48:00.250Z'],
    ['2026-11-29 13:48:00 GMT', '2026-11-29T13:48:00.000Z'],
    ['  2026-11-29T13:48:00Z ', '2026-11-29T13:48:00.000Z'],
    ['now', '2026-11-29T14:00:00.500Z'],
    ['NOW', '2026-11-29T14:00:00.500Z'],
    ['-0s', '2026-11-29T14:00:00.500Z'],
    ['-15m', '2026-11-29T13:45:00.500Z'],
    ['-1d12h', '2026-11-28T02:00:00.500Z'],
    ['-1d 12h', '2026-11-28T02:00:00.500Z'],
    ['-1h30m15s', '2026-11-29T12:29:45.500Z'],
    ['now-1h', '2026-11-29T13:00:00.500Z'],
    ['now - 1h', '2026-11-29T13:00:00.500Z'],
  ])('%j is %s', (text, instant) => {
    expect(read(text)).toBe(instant);
  });

  test.each([
    // A digit more than is kept would be another instant: the one that was asked for is not the one that is taken.
    [
      '2026-11-29 13:48:00.469123+00',
      /finer than a millisecond.*2026-11-29T13:48:00\.469Z.*2026-11-29T13:48:00\.470Z/,
    ],
    ['2026-11-29T13:48:00.0000001Z', /finer than a millisecond/],
    ['2026-11-29 13:48:00', /no time zone.*2026-11-29T13:48:00Z/],
    ['2026-11-29', /no time zone/],
    ['2026-11-29 13:48:00 CEST', /"CEST" is no time zone.*Europe\/Berlin/],
    ['2026-11-29 13:48:00 Mars/Olympus', /"Mars\/Olympus" is no time zone/],
    // The clocks go forward over this time, and back over that one.
    ['2026-03-29 02:30 Europe/Berlin', /does not exist/],
    ['2026-10-25 02:30 Europe/Berlin', /comes twice.*\+02:00.*\+01:00/],
    ['2026-02-31 00:00:00+00', /not an instant/],
    ['2026-11-29 24:30:00 UTC', /not an instant/],
    ['2026-11-29 13:48:00+15', /not an instant/],
    ['1h', /not an instant/],
    ['-1h1h', /not an instant/],
    ['-30m1h', /not an instant/],
    ['yesterday', /not an instant/],
    ['-999999999d', /not an instant/],
    ['', /not an instant/],
  ])('%j is refused: %s', (text, reason) => {
    expect(read(text)).toMatch(reason);
  });

  it('is never another one than was written: what is read back is what went in', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe'];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), fc.constantFrom(...zones), (seconds, zone) => {
        const at = new Date(seconds * 1_000);
        const shown = describeInstant(at, zone).replace(/^.*\((.*)\)$/, '$1');
        expect(readInstant(shown, NOW)).toEqual({ at });
      }),
    );
  });

  it('is shown in UTC with the local time beside it, once where they are the same', () => {
    const at = new Date('2026-11-29T13:48:00.469Z');
    expect(describeInstant(at, 'Europe/Berlin')).toBe('2026-11-29T13:48:00.469Z (2026-11-29 14:48:00+01:00)');
    expect(describeInstant(at, 'Asia/Kolkata')).toBe('2026-11-29T13:48:00.469Z (2026-11-29 19:18:00+05:30)');
    expect(describeInstant(at, 'America/St_Johns')).toBe(
      '2026-11-29T13:48:00.469Z (2026-11-29 10:18:00-03:30)',
    );
    expect(describeInstant(at, 'UTC')).toBe('2026-11-29T13:48:00.469Z');
  });
});
