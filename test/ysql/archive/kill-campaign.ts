/**
 * Kills of an archive's parts: `npm run crash:archive-kills -- --kills 200 --replay-kills 50 --seed 7`. Ends with code 1 where a transaction
 * is lost, doubled, or acknowledged before it is stored.
 */
import { parseArgs } from 'node:util';
import { runKills } from './kills.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    'replay-kills': { type: 'string', default: '50' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  },
});
const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
const beganAt = Date.now();
const report = await runKills({
  seed: Number(values.seed),
  kills: Number(values.kills),
  replayKills: Number(values['replay-kills']),
  say,
});
const told = (struck: Readonly<Record<string, number>>) =>
  Object.entries(struck)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
for (const problem of report.problems) say(`PROBLEM ${problem}`);
say(
  `seed ${values.seed}: kills during capture: ${told(report.struck)}; during ${report.restores} restores: ${told(report.struckInReplay)}; ${report.transactions} transactions, ${report.problems.length} problems, ${Math.round((Date.now() - beganAt) / 60_000)} minutes`,
);
process.exit(report.problems.length === 0 ? 0 : 1);
