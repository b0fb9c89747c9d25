import { Dice } from '../../crash/dice.ts';
import { anyInstant, makeWorld, restoreBase, tryInstant, type World } from './trial.ts';

const SEED = Number(process.env.ARCHIVE_SEED ?? 20);

let world: World;

beforeAll(async () => {
  world = await makeWorld({ seed: SEED, transactions: 150, bases: 2 });
});

afterAll(async () => {
  await world?.stop();
});

test('ten instants come back as the source was: a beginning of the order of commits, and nothing else', async () => {
  const dice = new Dice(SEED);
  let transactions = 0;
  for (const base of world.bases) {
    const restored = await restoreBase(world, base);
    for (let number = 0; number < 5; number += 1) {
      const outcome = await tryInstant(world, base, restored, anyInstant(world, base, dice));
      expect({ ...outcome, differences: outcome.differences }).toMatchObject({ differences: [] });
      transactions += outcome.transactions;
    }
  }
  expect(transactions).toBeGreaterThan(50);
});
