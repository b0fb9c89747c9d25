/**
 * The campaign of a plan's entity: `npm run crash:entity -- --signals 10000 --backups 1000 --kills 30 --seed 7`. Ends with code
 * 1 if a signal was lost, acted twice, or a history grew without bound.
 */
import { parseArgs } from 'node:util';
import { runEntityCampaign } from './campaign.ts';

const { values } = parseArgs({
  options: {
    signals: { type: 'string', default: '10000' },
    backups: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '30' },
    events: { type: 'string', default: '300' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  },
});

const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
const startedAt = Date.now();
const report = await runEntityCampaign({
  seed: Number(values.seed),
  ...{ backups: Number(values.backups), signals: Number(values.signals), kills: Number(values.kills) },
  historyEvents: Number(values.events),
  say,
});
const { problems, ...figures } = report;
say(
  `${JSON.stringify(figures)}, seed ${values.seed}, ${Math.round((Date.now() - startedAt) / 60_000)} minutes`,
);
for (const problem of problems) say(`NOT SURVIVED: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);
