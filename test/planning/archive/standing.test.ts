import type { ArchiveStanding } from '../../../model/archive-standing.ts';
import { archiveLagMs, archiveLines } from '../../../planning/archive/standing.ts';

const NOW = new Date('2026-11-30T08:00:00.000Z');
const STANDING: ArchiveStanding = {
  ...{ database: 'shop', from: '2026-11-30T03:00:00.000000Z', to: '2026-11-30T07:59:57.000000Z' },
  ...{ isEnded: false, intervals: 1, holes: [], holesInAll: 0 },
};

test('a line says window, lag and proof', () => {
  expect(archiveLines(STANDING, NOW)).toEqual([
    'archive of shop: 2026-11-30T03:00:00.000000Z to 2026-11-30T07:59:57.000000Z, 3.0 s behind at 2026-11-30T08:00:00.000Z, not proved',
  ]);
  expect(archiveLines({ ...STANDING, provedTo: '2026-11-30T05:00:00.000000Z' }, NOW)[0]).toMatch(
    /, proved up to 2026-11-30T05:00:00\.000000Z$/,
  );
  // The source's clock may be ahead.
  expect(archiveLagMs({ ...STANDING, to: '2026-11-30T08:00:01.000000Z' }, NOW)).toBe(0);
});

test('holes have their reasons, the one that lasts too, and those that are not listed are counted', () => {
  const hole = { from: '2026-11-30T02:00:00.000000Z', to: '2026-11-30T03:00:00.000000Z', reason: 'A gap.' };
  const lasting = { from: '2026-11-30T07:59:57.000000Z', to: null, reason: 'The slot is gone.' };
  const ended = { ...STANDING, isEnded: true, holes: [hole, lasting], holesInAll: 9 };
  expect(archiveLines(ended, NOW)).toEqual([
    expect.stringMatching(/, ENDED, not proved$/),
    'hole in the archive of shop, 2026-11-30T02:00:00.000000Z to 2026-11-30T03:00:00.000000Z: A gap.',
    'hole in the archive of shop, 2026-11-30T07:59:57.000000Z to now: The slot is gone.',
    '7 older holes: holdfast window',
  ]);
});
