import fc from 'fast-check';
import type { Retention } from '../../model/pipeline.ts';
import { decideRetention } from '../../planning/retention.ts';
import { simulateRetention } from '../../planning/simulate.ts';
import { simulationSvg } from '../../planning/simulation-svg.ts';
import { DAY_MS, entryAt, HOUR_MS, NOW, OK, told } from './catalogue-samples.ts';

/** Instants at whole steps from `NOW` on. */
function every(stepMs: number, days: number, offsetMs = 0): readonly Date[] {
  return Array.from(
    { length: Math.floor((days * DAY_MS - offsetMs) / stepMs) },
    (_, index) => new Date(NOW.getTime() + offsetMs + index * stepMs),
  );
}

function simulate(
  policy: Retention,
  days: number,
  backups = every(DAY_MS, days),
  prunes = every(DAY_MS, days, HOUR_MS),
) {
  return simulateRetention({
    ...{ entries: [], policy, backups, prunes, from: NOW, days },
    ...{ storedBytes: 1_000, defaultGraceMs: DAY_MS },
  });
}

describe('a simulated year', () => {
  it('comes to as many backups as the rules name, and as far back', () => {
    const days = simulate({ keepLast: 3, keepDaily: 7, keepWeekly: 5, keepMonthly: 12 }, 400);
    const last = days.at(-1);
    // 7 days, 4 or 5 more weeks, 11 or 12 more months; what is marked for a day beside.
    expect((last?.backups ?? 0) - (last?.marked ?? 0)).toBeGreaterThanOrEqual(21);
    expect((last?.backups ?? 0) - (last?.marked ?? 0)).toBeLessThanOrEqual(24);
    expect(last?.storedBytes).toBe((last?.backups ?? 0) * 1_000);
    expect(last?.agesDays.at(-1)).toBeGreaterThan(330);
    expect(days.reduce((sum, { deleted }) => sum + deleted, 0)).toBe(400 - (last?.backups ?? 0));
  });

  it('tells of each day that has been played, in order', () => {
    const played: number[] = [];
    simulateRetention({
      ...{ entries: [], policy: { keepLast: 3 }, backups: every(DAY_MS, 5), prunes: [], from: NOW, days: 5 },
      ...{ defaultGraceMs: DAY_MS, onDay: (day) => void played.push(day) },
    });
    expect(played).toEqual([1, 2, 3, 4, 5]);
  });

  it('begins with what is there', () => {
    const entries = [1, 2, 3].map((age) => entryAt(age * DAY_MS, OK));
    const [first] = simulateRetention({
      ...{ entries, policy: { keepLast: 10 }, backups: [], prunes: [], from: NOW, days: 1 },
      defaultGraceMs: DAY_MS,
    });
    expect(first).toMatchObject({ backups: 3, marked: 0, deleted: 0, agesDays: [2, 3, 4] });
    expect(first).not.toHaveProperty('storedBytes');
  });

  it('keeps by pruning day after day what one prune at the end would keep', () => {
    const CASES = 300;
    const count = fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined });
    const policy = fc
      .record({
        keepLast: count,
        keepHourly: count,
        keepDaily: count,
        keepWeekly: count,
        keepMonthly: count,
        timezone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York'),
      })
      .map(
        (members): Retention => ({
          ...Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)),
          graceMs: 1,
        }),
      );
    fc.assert(
      fc.property(
        policy,
        fc.integer({ min: 3, max: 30 }),
        fc.integer({ min: 5, max: 70 }),
        (rules, step, days) => {
          const backups = every(step * HOUR_MS, days);
          const last = backups.at(-1) ?? NOW;
          // Two more prunes after the last backup: one marks, one deletes.
          const prunes = [
            ...every(7 * HOUR_MS, days, HOUR_MS),
            ...[1, 2].map((n) => new Date(last.getTime() + n * DAY_MS)),
          ];
          const simulated = simulate(rules, days + 3, backups, prunes).at(-1);
          const all = backups.map((at) =>
            entryAt(NOW.getTime() - at.getTime(), { ...OK, backup: at.toISOString() }),
          );
          const now = new Date(NOW.getTime() + (days + 3) * DAY_MS);
          const kept = decideRetention(all, rules, { now }).filter(({ keep }) => keep);
          const ages = kept.map(({ instant }) => (now.getTime() - Date.parse(instant)) / DAY_MS);
          expect(simulated?.agesDays).toEqual(ages.map((age) => Math.round(age * 100) / 100));
        },
      ),
      { numRuns: CASES },
    );
    told(CASES, 'policies simulated day by day');
  });

  it('is drawn as one file that needs nothing from outside', () => {
    const svg = simulationSvg('a<b>&c', simulate({ keepDaily: 7, keepMonthly: 12 }, 365));
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg.trimEnd()).toMatch(/<\/svg>$/);
    expect(svg).toContain('Retention of a&lt;b&gt;&amp;c, 365 days ahead');
    expect(svg.match(/href|<script|@import|NaN|undefined|Infinity/)).toBeNull();
    expect((svg.match(/<rect /g) ?? []).length).toBeGreaterThan(100);
  });
});
