import { archiveBase, archiveLimit } from '../../../planning/archive/retention.ts';
import { DAY_MS, entryAt, FAILED, HOUR_MS, NOW } from '../catalogue-samples.ts';

const cutoffMs = NOW.getTime() - 7 * DAY_MS;

describe('what an archive of changes keeps', () => {
  it('is everything since the newest backup before its oldest instant, with a margin', () => {
    const base = entryAt(8 * DAY_MS);
    const entries = [entryAt(HOUR_MS), entryAt(6 * DAY_MS), base, entryAt(9 * DAY_MS)];
    expect(archiveBase(entries, cutoffMs)).toBe(base);
    expect(archiveLimit(entries, cutoffMs)).toBe(Date.parse(base.instant) - HOUR_MS / 2);
  });

  it('passes over backups that are no base, so that more is kept', () => {
    const base = entryAt(10 * DAY_MS);
    for (const contents of ['schema', 'data'] as const) {
      const entries = [entryAt(8 * DAY_MS, FAILED), entryAt(9 * DAY_MS, { contents }), base];
      expect(archiveBase(entries, cutoffMs)).toBe(base);
    }
  });

  it('is what is young enough where no backup is old enough to be a base', () => {
    expect(archiveBase([entryAt(HOUR_MS)], cutoffMs)).toBeUndefined();
    expect(archiveLimit([entryAt(HOUR_MS)], cutoffMs)).toBe(cutoffMs - HOUR_MS / 2);
  });
});
