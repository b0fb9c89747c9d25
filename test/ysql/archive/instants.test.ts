import { FETCHED_POSTGRES_RUNS_HERE } from '../../../parts/postgres-versions.ts';
import { Dice } from '../../crash/dice.ts';
import { anyInstant, makeWorld, restoreBase, tryInstant } from './trial.ts';

/* A few instants of the campaign (`npm run crash:archive`): the product captures, the schema is altered, and each instant is exact or refused. */

const SEED = Number(process.env.ARCHIVE_SEED ?? 18);
const INSTANTS = 10;

test.each(FETCHED_POSTGRES_RUNS_HERE ? ([15, 18] as const) : ([15] as const))(
  'PostgreSQL %s: ten instants come back as the source was, or are refused where its schema was altered',
  async (version) => {
    const world = await makeWorld({
      ...{ seed: SEED, transactions: 90, bases: 2, version, capture: 'product' },
      alterations: ['a table is made anew', 'values are rewritten'],
    });
    try {
      const dice = new Dice(SEED);
      let transactions = 0;
      for (const base of world.bases) {
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
      expect(transactions).toBeGreaterThan(20);
    } finally {
      await world.stop();
    }
  },
  900_000,
);
