import { StandingFailures } from '../../workflows/standing-failures.ts';

const MINUTE = 60_000;

test('a failure that stays is new once, and the pause after it doubles up to ten minutes, also in the next run', () => {
  const failures = new StandingFailures();
  const pauses = [];
  let now = 0;
  for (let tries = 0; tries < 4; tries += 1) {
    const { isNew, pauseMs } = failures.note('orders', 'permission denied', now);
    expect(isNew).toBe(tries === 0);
    pauses.push(pauseMs / MINUTE);
    now += pauseMs;
  }
  expect(pauses).toEqual([1, 2, 4, 8]);
  const next = new StandingFailures(failures.carried(now));
  expect(next.note('orders', 'permission denied', now)).toEqual({ isNew: false, pauseMs: 10 * MINUTE });
  expect(next.note('orders', 'permission denied', now)).toEqual({ isNew: false, pauseMs: 10 * MINUTE });
});

test('another failure, another database, and one that comes back after it had gone are new', () => {
  const failures = new StandingFailures();
  failures.note('orders', 'permission denied', 0);
  const first = { isNew: true, pauseMs: MINUTE };
  expect(failures.note('shop', 'permission denied', 0)).toEqual(first);
  expect(failures.note('orders', 'no room', 0)).toEqual(first);
  expect(failures.note('orders', 'no room', 31 * MINUTE)).toEqual(first);
  expect(failures.carried(62 * MINUTE)).toEqual({});
});
