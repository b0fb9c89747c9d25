/**
 * `npm run order -- --cases 100 --seed 7 [--of order|tolerance]`: random schemas, restored. Prints one line a case, and ends with
 * code 1 if any was wrong.
 */
import { parseArgs } from 'node:util';
import { createRepository, startServer } from '../harness.ts';
import { orderTrial, toleranceTrial } from './trial.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    of: { type: 'string' },
  },
});

const trials = { order: orderTrial, tolerance: toleranceTrial };
const server = await startServer();
const repository = await createRepository();
let wrong = 0;
let tried = 0;
try {
  for (const [name, trial] of Object.entries(trials)) {
    if (values.of !== undefined && values.of !== name) continue;
    for (let index = 0; index < Number(values.cases); index += 1) {
      const seed = Number(values.seed) + index;
      const { problems, told } = await trial(server, repository, seed).catch((error: unknown) => ({
        problems: [String(error)],
        told: 'it failed',
      }));
      tried += 1;
      if (problems.length > 0) wrong += 1;
      process.stdout.write(
        `${name} ${seed}: ${told}${problems.length === 0 ? '' : ` WRONG: ${problems.slice(0, 5).join(' | ')}`}\n`,
      );
    }
  }
} finally {
  await server.stop();
  await repository.remove();
}
process.stdout.write(`${tried} cases, ${wrong} wrong, seed ${values.seed}\n`);
process.exit(wrong === 0 ? 0 : 1);
