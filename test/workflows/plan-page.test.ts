import type { PlanStatus } from '../../workflows/plan-messages.ts';
import { renderPlan } from '../../workflows/plan-page.ts';

/** The page is written when something changes, and stays as it is while nothing does, or while no worker runs. */
const NOW = new Date('2026-11-29T14:00:00.000Z');
const INSTANT = '2026-11-29T13:59:58.800Z';

const STATUS = {
  plan: 'orders',
  paused: null,
  running: [
    {
      kind: 'backup',
      id: 'b',
      workflowId: 'backup:orders:b',
      state: 'running',
      headline: 'upload',
      startedAt: INSTANT,
    },
  ],
  requests: [
    {
      requestId: 'r-1',
      kind: 'restore',
      at: INSTANT,
      state: 'awaiting-approval',
      run: { id: 'x', workflowId: 'restore:orders:x' },
    },
  ],
  closed: [],
  refused: {
    count: 1,
    last: [
      {
        at: INSTANT,
        message: 'restore',
        code: 'BAD_REQUEST',
        reason: "`into` can't be 5",
        remedy: 'Write {"to": "-15m", "into": {"shop": "shop_at_ten"}}.',
        before: INSTANT,
      },
    ],
  },
  lastBackup: null,
  lastFailure: null,
  survey: {
    backups: 1,
    storedBytes: 100,
    unusable: 0,
    lastGood: { backup: 'b0', instant: INSTANT, level: 'content' },
    window: { instants: [{ at: INSTANT, backup: 'b0', verified: true }], ranges: [] },
    schedules: [],
  },
  surveyFailure: null,
  strangeRepository: null,
} as unknown as PlanStatus;

test('times are absolute, and what is counted from them says as of when', () => {
  const page = renderPlan(STATUS, NOW);
  expect(page).toContain('As of 2026-11-29T14:00:00.000Z');
  expect(page).toContain(`last good backup of ${INSTANT}`);
  expect(page).not.toMatch(/\bago\b/);
  expect(page).toContain(`since ${INSTANT}`);
});

test('JSON to be sent stands alone in code, so that the UI does not curl its quotes', () => {
  const page = renderPlan(STATUS, NOW);
  const block = /```json\n(.*)\n```/.exec(page)?.[1] ?? '';
  expect(JSON.parse(block)).toEqual({ to: INSTANT });
  const prose = page.replace(/```json.*?```/s, '');
  const spans = Array.from(prose.matchAll(/`([^`]*)`/g), ([, code = '']) => code);
  const json = spans.filter((code) => code.startsWith('{'));
  expect(json.map((code) => JSON.parse(code))).toEqual([
    { requestId: 'r-1' },
    { to: INSTANT, into: 'NAME' },
    { to: INSTANT, replace: true },
    { to: '-15m', into: { shop: 'shop_at_ten' } },
    { to: INSTANT },
  ]);
  // None is left in prose.
  expect(prose.replaceAll(/`[^`]*`/g, '')).not.toMatch(/\{"/);
});

test('an archive of changes shows its window, how far it is behind, what is proved, and its holes', () => {
  const archive = [
    {
      ...{ database: 'shop', from: '2026-11-29T03:00:00.000000Z', to: '2026-11-29T13:59:50.000000Z' },
      ...{ provedTo: '2026-11-29T04:00:00.000000Z', isEnded: false, intervals: 1, holesInAll: 1 },
      holes: [{ from: '2026-11-29T01:00:00.000000Z', to: '2026-11-29T03:00:00.000000Z', reason: 'A gap.' }],
    },
  ];
  const readAt = '2026-11-29T13:59:55.000Z';
  const page = renderPlan({ ...STATUS, survey: { ...STATUS.survey, readAt, archive } } as PlanStatus, NOW);
  expect(page).toMatch(
    /\*\*Archive of changes\*\*\n\n- archive of shop: .*, 5\.0 s behind at \S+, proved up to 2026-11-29T04:00:00\.000000Z\n- hole in the archive of shop, .*: A gap\.\n/,
  );
  expect(renderPlan(STATUS, NOW)).not.toContain('Archive of changes');
});
