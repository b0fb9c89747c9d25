/**
 * The crash campaign: `npm run crash -- --kills 200 --seed 7 [--path postgresql|yugabytedb|ycql] [--fault NAME]… [--megabytes N]
 * [--sharding hash|range|colocated] [--line 2.18|2024.2|2025.2|2026.1] [--rows N]`, sharding and release line of the YugabyteDB path. `--rows` in place of `--megabytes` asks for so many short rows.
 * Ends with code 1 if any fault was not survived.
 */
import { parseArgs } from 'node:util';
import { defined } from '../../model/defined.ts';
import { CLIENT_LINE_NAMES } from '../proxy/client-lines.ts';
import { runCampaign } from './campaign.ts';
import { FAULTS } from './faults.ts';
import { PATHS, SHARDINGS } from './stage.ts';
import { runYcqlCampaign, YCQL_FAULTS } from './ycql.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    path: { type: 'string' },
    fault: { type: 'string', multiple: true },
    sharding: { type: 'string' },
    line: { type: 'string' },
    megabytes: { type: 'string', default: '150' },
    /** Of the path `ycql`: 3 is a ring. */
    nodes: { type: 'string', default: '1' },
    rows: { type: 'string' },
  },
});

if (values.path === 'ycql' && (values.fault ?? []).every((name) => YCQL_FAULTS.includes(name))) {
  const beganAt = Date.now();
  const { strikes, struck, problems } = await runYcqlCampaign({
    seed: Number(values.seed),
    kills: Number(values.kills),
    rows: Number(values.rows ?? '3000'),
    nodes: values.nodes === '3' ? 3 : 1,
    ...(values.fault === undefined ? {} : { faults: values.fault }),
    say: (line) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`),
  });
  const kinds = Object.entries(struck).map(([name, count]) => `${count} ${name}`);
  const minutes = Math.round((Date.now() - beganAt) / 60_000);
  process.stdout.write(
    `ycql, ${values.nodes === '3' ? 'three nodes' : 'one node'}: ${strikes} faults (${kinds.join(', ')}), ${problems.length} problems, seed ${values.seed}, ${minutes} minutes\n`,
  );
  process.exit(problems.length === 0 ? 0 : 1);
}

const paths = PATHS.filter((path) => values.path === undefined || path === values.path);
const unknown = values.fault?.filter((name) => !FAULTS.some((fault) => fault.name === name)) ?? [];
const sharding = SHARDINGS.find((name) => name === values.sharding);
const line = CLIENT_LINE_NAMES.find((name) => name === values.line);
const isUnknown = (given: string | undefined, known: string | undefined) =>
  given !== undefined && known === undefined;
if (
  paths.length === 0 ||
  unknown.length > 0 ||
  isUnknown(values.sharding, sharding) ||
  isUnknown(values.line, line)
) {
  process.stderr.write(
    `paths: ${PATHS.join(', ')}, ycql; shardings: ${SHARDINGS.join(', ')}; lines: ${CLIENT_LINE_NAMES.join(', ')}; faults: ${FAULTS.map(({ name }) => name).join(', ')}; of ycql: ${YCQL_FAULTS.join(', ')}\n`,
  );
  process.exit(2);
}

const startedAt = Date.now();
const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
const reports = [];
for (const path of paths) {
  reports.push(
    await runCampaign({
      path,
      seed: Number(values.seed),
      // With faults named, only those.
      kills: values.fault === undefined ? Math.ceil(Number(values.kills) / paths.length) : 0,
      size:
        values.rows === undefined ? { megabytes: Number(values.megabytes) } : { rows: Number(values.rows) },
      ...defined({ sharding, line }),
      ...(values.fault === undefined ? {} : { faults: values.fault }),
      say,
    }),
  );
}
for (const { path, strikes, survived, workerKills, trials } of reports) {
  say(
    `${path}: ${survived} of ${strikes} faults survived (${workerKills} worker kills) in ${trials.length} trials`,
  );
}
const all = reports.reduce((sum, { strikes }) => sum + strikes, 0);
const survived = reports.reduce((sum, report) => sum + report.survived, 0);
say(
  `faults survived: ${survived} of ${all}, seed ${values.seed}, ${Math.round((Date.now() - startedAt) / 60_000)} minutes`,
);
const failed = reports.some(({ trials }) => trials.some(({ problems }) => problems.length > 0));
process.exitCode = failed ? 1 : 0;
