import fc from 'fast-check';
import { decisionLines } from '../../planning/recovery/decision-text.ts';
import { planRecovery, recoveryWindow } from '../../planning/recovery/plan.ts';
import { readRecoveryRequest } from '../../planning/request.ts';
import { timelineLines } from '../../planning/timeline.ts';
import { anyEntries, DAY_MS, entryAt, FAILED, HOUR_MS, NOW, OK, told } from './catalogue-samples.ts';

describe('a decision in words', () => {
  const sources = [
    {
      kind: 'backups' as const,
      entries: [
        entryAt(HOUR_MS, { backup: 'b-today', rows: 12_000, bytes: 3 * 1024 ** 2, storedBytes: 1024 ** 2 }),
        entryAt(2 * HOUR_MS, { ...FAILED, backup: 'b-damaged' }),
        entryAt(DAY_MS, { ...OK, backup: 'b-yesterday' }),
      ],
    },
  ];
  const lines = (request: object) => decisionLines(planRecovery(sources, request, { now: NOW }));

  it('says what is restored, why, at what cost, and what would be lost', () => {
    expect(lines({})).toEqual([
      'Backup b-today gives the data of 2026-11-24T11:00:00.000Z: it is the newest instant that can be reached.',
      '  cost: 12,000 rows, 3.00 MiB, 1.00 MiB to fetch; how long is not known: no restore of this plan has been measured yet',
      '  lost if it replaces the database: every change of the 1 h 00 min since, from 2026-11-24T11:00:00.000Z to 2026-11-24T12:00:00.000Z',
      '  note: No verification has found it good yet; the newest before it that was found good is b-yesterday (2026-11-23T12:00:00.000Z).',
    ]);
  });

  it('refuses with the nearest instants as JSON to paste', () => {
    expect(lines({ to: '2026-11-24T10:30:00Z' })).toEqual([
      'Refused (INSTANT_NOT_EXACT): nothing holds the data of 2026-11-24T10:30:00.000Z; it lies between two instants that can be reached, 2026-11-23T12:00:00.000Z and 2026-11-24T11:00:00.000Z.',
      '  → Ask for one of them, or for the newest before (`nearest: before`).',
      '  nearest before: {"to": "2026-11-23T12:00:00.000Z"}',
      '  nearest after: {"to": "2026-11-24T11:00:00.000Z"}',
      '  note: b-damaged (2026-11-24T10:00:00.000Z) is passed over: its verification of 2026-11-24T12:00:00.000Z found damage.',
    ]);
  });

  it('has the local time beside UTC', () => {
    const local = (request: object) =>
      decisionLines(planRecovery(sources, request, { now: NOW }), 'Europe/Berlin').join('\n');
    expect(local({})).toContain('the data of 2026-11-24T11:00:00.000Z (2026-11-24 12:00:00+01:00): it is');
    expect(local({ to: '2026-11-24T10:30:00Z' })).toContain(
      'nearest before (2026-11-23 13:00:00+01:00): {"to": "2026-11-23T12:00:00.000Z"}',
    );
  });

  it('is accepted when pasted: each nearest instant is one that restores', () => {
    const CASES = 1_000;
    let pasted = 0;
    fc.assert(
      fc.property(anyEntries(), fc.integer({ min: -DAY_MS, max: 900 * DAY_MS }), (entries, agoMs) => {
        const known = [{ kind: 'backups' as const, entries }];
        const to = new Date(NOW.getTime() - agoMs).toISOString();
        for (const line of decisionLines(planRecovery(known, { to }, { now: NOW }))) {
          const json = /nearest \w+: (.*)/.exec(line)?.[1];
          if (json === undefined) continue;
          pasted += 1;
          const reading = readRecoveryRequest(JSON.parse(json));
          if (!('request' in reading)) throw new Error(`refused: ${json}`);
          expect(planRecovery(known, reading.request, { now: NOW }).kind).toBe('restore');
        }
      }),
      { numRuns: CASES },
    );
    told(CASES, `${pasted} instants of refusals pasted, all accepted`);
  });
});

describe('a request that somebody typed', () => {
  it('may be nothing, or any of the documented members', () => {
    expect(readRecoveryRequest(undefined)).toEqual({ request: {} });
    const request = {
      to: '-1d',
      nearest: 'before',
      into: { shop: 'shop_at_ten' },
      tables: ['public.orders'],
      reason: 'the accident of ten',
      requestId: '7',
      safetyBackup: false,
    };
    expect(readRecoveryRequest(request)).toEqual({ request });
  });

  it.each([
    ['a text', '"now"', /no JSON object/],
    ['a list', '[]', /no JSON object/],
    ['a misspelt member', '{"until": "-1d"}', /not known, "until"/],
    ['a member of every object', '{"constructor": 1}', /not known, "constructor"/],
    ['a number for an instant', '{"to": 5}', /`to` can't be 5/],
    ['an empty instant', '{"to": ""}', /`to` can't be ""/],
    ['another nearest', '{"nearest": "after"}', /"before" or "exact"/],
    ['a flag in words', '{"replace": "yes"}', /true or false/],
    ['no tables', '{"tables": []}', /a list such as/],
    ['a name that is a list', '{"into": ["x"]}', /a database name/],
    ['a new name and the old', '{"into": "x", "replace": true}', /Leave out one of them/],
    ['an approval that is waived', '{"approval": "none"}', /Write "required"/],
    ['breaking others beside', '{"breakOthers": true}', /Add "replace": true/],
  ])('is refused with what to write: %s', (_what, json, text) => {
    const reading = readRecoveryRequest(JSON.parse(json));
    if (!('refusal' in reading)) throw new Error('it was accepted');
    expect(`${reading.refusal.reason}. ${reading.refusal.remedy}`).toMatch(text);
  });

  it('never throws, whatever it is', () => {
    const CASES = 2_000;
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.anything()), (value) => {
        const reading = readRecoveryRequest(value);
        if ('request' in reading) planRecovery([], reading.request, { now: NOW });
      }),
      { numRuns: CASES },
    );
    told(CASES, 'requests of any shape');
  });
});

describe('the recovery window as a time line', () => {
  it('has a mark for each instant, verified or not, and says what a column is', () => {
    const entries = [0.5, 1, 2, 3].map((days) => entryAt(days * DAY_MS, days === 0.5 ? {} : OK));
    const window = recoveryWindow([{ kind: 'backups', entries }]);
    expect(timelineLines(window, { now: NOW, width: 36 })).toEqual([
      '●···········●···········●·····○·····',
      '2026-11-21 12:00Z                now',
      '● 3 verified, ○ 1 not verified, in 3 d 00 h; a column is 2 h 00 min',
    ]);
  });

  it('shows ranges in which every instant can be reached', () => {
    const window = recoveryWindow([
      {
        kind: 'snapshot-schedule',
        schedule: 's',
        ways: ['clone'],
        windows: [{ from: '2026-11-23T12:00:00Z', to: '2026-11-24T06:00:00Z' }],
      },
    ]);
    expect(timelineLines(window, { now: NOW, width: 24 })[0]).toBe('═══════════════════·····');
  });

  it('is nothing where nothing can be reached, and of its width whatever there is', () => {
    expect(timelineLines({ instants: [], ranges: [] }, { now: NOW })).toEqual([]);
    const CASES = 1_000;
    fc.assert(
      fc.property(anyEntries({ future: true }), fc.integer({ min: 24, max: 200 }), (entries, width) => {
        const window = recoveryWindow([{ kind: 'backups', entries }]);
        const [line, scale] = timelineLines(window, { now: NOW, width });
        if (window.instants.length === 0) return;
        expect([line?.length, (scale?.length ?? 0) >= width]).toEqual([width, true]);
        expect(line).toMatch(/^[●○]/);
      }),
      { numRuns: CASES },
    );
    told(CASES, 'time lines');
  });
});
