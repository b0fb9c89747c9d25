import { Dice } from '../../crash/dice.ts';
import { anyInstant, makeWorld, restoreBase, tryInstant } from './trial.ts';

/* As instants.test.ts, on the stand-in for YugabyteDB: `npm run crash:archive -- --product yugabytedb` is the campaign. */

const SEED = Number(process.env.ARCHIVE_SEED ?? 18);
const INSTANTS = 10;

test('YugabyteDB: ten instants come back as the source was then, or are refused where a table was emptied or altered', async () => {
  const world = await makeWorld({
    ...{ seed: SEED, transactions: 90, bases: 2, product: 'yugabytedb', capture: 'product' },
    alterations: ['a table is emptied', 'values are rewritten'],
  });
  try {
    const dice = new Dice(SEED);
    let transactions = 0;
    for (const base of world.bases) {
      expect(base.readPoint.kind).toBe('yb-read-time');
      const restored = await restoreBase(world, base);
      for (let number = 0; number < INSTANTS / 2; number += 1) {
        const outcome = await tryInstant(world, base, restored, anyInstant(world, base, dice));
        expect(outcome).toMatchObject({ differences: [] });
        transactions += outcome.transactions;
      }
      // What was altered last can't be reached from this base.
      const last = world.commits.at(-1)?.micros ?? 0;
      expect(await tryInstant(world, base, restored, last)).toMatchObject({
        differences: [],
        refused: 'ARCHIVE_NO_CHAIN',
      });
    }
    expect(new Set(world.timelines.values()).size).toBe(2);
    expect(transactions).toBeGreaterThan(20);
  } finally {
    await world.stop();
  }
}, 900_000);
