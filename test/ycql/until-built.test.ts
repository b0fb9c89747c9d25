import { untilBuilt } from '../../engines/ycql/restore/until-built.ts';

/* What a server never builds must not be waited for without end. */

function contextOf(signal = new AbortController().signal) {
  const logged: unknown[] = [];
  const log = (message: string, fields?: Readonly<Record<string, unknown>>) => logged.push([message, fields]);
  return { signal, log, logged };
}

test('an index that is never built ends the wait by its name, and the log tells of it meanwhile', async () => {
  const context = contextOf();
  let looks = 0;
  const never = async () => {
    looks += 1;
    return false;
  };
  const patience = { everyMs: 2, limitMs: 100, tellEveryMs: 30 };
  await expect(untilBuilt('index by_name on shop.orders', never, context, patience)).rejects.toMatchObject({
    code: 'RESTORE_NOT_BUILT',
    message: expect.stringContaining('index by_name on shop.orders'),
    remedy: expect.stringContaining('nodetool compactionstats'),
    transient: false,
  });
  expect(looks).toBeGreaterThan(2);
  expect(context.logged[0]).toEqual([
    expect.stringContaining('still being built'),
    { object: 'index by_name on shop.orders', minutes: 0 },
  ]);
});

test('what is built at a later look is waited for, and a cancelled wait ends', async () => {
  let looks = 0;
  const third = async () => {
    looks += 1;
    return looks === 3;
  };
  await untilBuilt('index i on a.t', third, contextOf());
  expect(looks).toBe(3);
  const cancelled = contextOf(AbortSignal.timeout(20));
  await expect(untilBuilt('index i on a.t', async () => false, cancelled)).rejects.toMatchObject({
    name: 'AbortError',
  });
});
