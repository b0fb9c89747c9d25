/**
 * The campaign of instants: `node test/ysql/archive/campaign.ts --instants 500 --seed 7`. Each hundred instants have a source of their
 * own. Ends with code 1 where a restored state is not the source's.
 */
import { parseArgs } from 'node:util';
import { Dice } from '../../crash/dice.ts';
import { anyInstant, makeWorld, restoreBase, tryInstant } from './trial.ts';

const INSTANTS_OF_WORLD = 100;

const { values } = parseArgs({
  options: {
    instants: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  },
});
const wanted = Number(values.instants);
const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);

let tried = 0;
let transactions = 0;
let wrong = 0;
for (let seed = Number(values.seed); tried < wanted; seed += 1) {
  const dice = new Dice(seed);
  const world = await makeWorld({ seed, transactions: 400, bases: 2 });
  say(`seed ${seed}: ${world.commits.length} transactions, ${world.segments.length} segments`);
  try {
    for (const base of world.bases) {
      const restored = await restoreBase(world, base);
      for (let number = 0; number < INSTANTS_OF_WORLD / 2 && tried < wanted; number += 1) {
        const outcome = await tryInstant(world, base, restored, anyInstant(world, base, dice));
        tried += 1;
        transactions += outcome.transactions;
        if (outcome.differences.length === 0) continue;
        wrong += 1;
        say(`seed ${seed}, ${outcome.instant}, commit ${outcome.commit}: ${outcome.differences.join('; ')}`);
      }
    }
  } finally {
    await world.stop();
  }
}
say(
  `${tried} instants from seed ${values.seed}: ${transactions} transactions replayed, ${wrong} instants wrong`,
);
process.exit(wrong === 0 ? 0 : 1);
