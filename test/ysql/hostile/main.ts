/**
 * The campaign of hostile names: `npm run crash:names -- --cases 10000 --seed 7 [--real-every 50]`. Dumps as ysql_dump writes them are
 * read and compared with what they were meant to say; every fiftieth schema goes through a real PostgreSQL (0: none). Ends with code 1
 * where a dump is read as something else, a restored schema differs, or a program ran.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runHostile } from './campaign.ts';
import { startRealRestores } from './real.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    'real-every': { type: 'string', default: '50' },
  },
});

const folder = await mkdtemp(join(tmpdir(), 'hostile-names-'));
process.chdir(folder);
const realEvery = Number(values['real-every']);
const real = realEvery > 0 ? await startRealRestores() : undefined;
const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
const { problems, ...counts } = await runHostile({
  cases: Number(values.cases),
  seed: Number(values.seed),
  realEvery,
  ...(real === undefined ? {} : { real }),
  say,
});
await real?.stop();
process.chdir(tmpdir());
await rm(folder, { recursive: true });
for (const problem of problems) say(problem);
say(
  `${values.cases} cases, seed ${values.seed}: ${counts.read} read as meant, ${counts.refused} refused by name; in PostgreSQL ${counts.restored} came back equal, ${counts.refusedReal} refused by name; ${problems.length} problems`,
);
process.exit(problems.length === 0 ? 0 : 1);
