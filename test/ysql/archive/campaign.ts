/**
 * The campaign of instants: `npm run crash:archive -- --instants 500 --seed 7 [--postgresql 18 | --product yugabytedb] [--each 100]`. So many instants (`--each`) have a source of
 * their own, whose changes the product captures while they are made. Ends with code 1 where a restored state is not the source's, or an
 * instant is refused that could be had.
 */
import { parseArgs } from 'node:util';
import type { PostgresVersion } from '../../../parts/postgres.ts';
import { Dice } from '../../crash/dice.ts';
import { ALL_ALTERATIONS, type SourceProduct } from './source.ts';
import { anyInstant, makeWorld, restoreBase, tryInstant } from './trial.ts';

const BASES = 2;
const SAID_EVERY = 25;
const PRODUCTS: readonly SourceProduct[] = ['postgresql', 'yugabytedb'];
const VERSIONS: readonly PostgresVersion[] = [15, 16, 17, 18];

const { values } = parseArgs({
  options: {
    instants: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    postgresql: { type: 'string', default: '15' },
    product: { type: 'string', default: 'postgresql' },
    each: { type: 'string', default: '100' },
  },
});
const wanted = Number(values.instants);
const instantsOfSource = Number(values.each);
const version = VERSIONS.find((each) => String(each) === values.postgresql);
const product = PRODUCTS.find((each) => each === values.product);
if (version === undefined || product === undefined) {
  process.stderr.write(`versions: ${VERSIONS.join(', ')}; products: ${PRODUCTS.join(', ')}\n`);
  process.exit(2);
}
const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);

let tried = 0;
let transactions = 0;
let refused = 0;
let wrong = 0;
for (let seed = Number(values.seed); tried < wanted; seed += 1) {
  const dice = new Dice(seed);
  // Each alteration comes up in three worlds.
  const all = ALL_ALTERATIONS[product];
  const alterations = Array.from(
    { length: BASES },
    (_, number) => all[(seed * BASES + number) % all.length],
  ).filter((alteration) => alteration !== undefined);
  const world = await makeWorld({
    seed,
    transactions: 400,
    bases: BASES,
    ...{ product, version },
    capture: 'product',
    alterations,
  });
  const timelines = new Set(world.timelines.values()).size;
  say(
    `seed ${seed}: ${world.commits.length} transactions (${alterations.join('; ')}), ${world.segments.length} segments, bases in ${timelines} timelines`,
  );
  try {
    for (const base of world.bases) {
      const restored = await restoreBase(world, base);
      for (let number = 0; number < instantsOfSource / BASES && tried < wanted; number += 1) {
        const outcome = await tryInstant(world, base, restored, anyInstant(world, base, dice));
        tried += 1;
        transactions += outcome.transactions;
        if (outcome.refused !== undefined) refused += 1;
        if (tried % SAID_EVERY === 0) say(`${tried} instants, ${refused} refused, ${wrong} wrong`);
        if (outcome.differences.length === 0) continue;
        wrong += 1;
        say(
          `WRONG seed ${seed}, ${outcome.instant}, commit ${outcome.commit}: ${outcome.differences.join('; ')}`,
        );
      }
    }
  } finally {
    await world.stop();
  }
}
say(
  `${product === 'yugabytedb' ? 'stand-in for YugabyteDB 2026.1' : `PostgreSQL ${version}`}, ${tried} instants from seed ${values.seed}: ${transactions} transactions replayed, ${refused} instants refused for an altered schema, ${wrong} instants wrong`,
);
process.exit(wrong === 0 ? 0 : 1);
