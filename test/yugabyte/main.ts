/**
 * `npm run test:yugabyte [-- --line 2025.2]`: for each release line of YugabyteDB three nodes in containers, on which the acceptance tests run, tablet servers are
 * killed during a backup and a restore, and every open question is asked; what was found is written as facts that can be committed
 * (docs/yugabytedb-matrix.md). Needs Docker on Linux, and nothing else. Where the environment names servers that are there already, they are tested instead
 * (`test/yugabyte/external.ts`). Arguments after `--` go to Jest.
 */
import { appendFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../../model/errors.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { startDockerCluster } from './docker-cluster.ts';
import { isExternal, runOnExternal } from './external.ts';
import { type Facts, isWell, render, writeFacts } from './facts.ts';
import { PARTS, type Part, runLine } from './line.ts';
import { startStandInCluster } from './stand-in-cluster.ts';
import { VERSIONS, versionOf } from './versions.ts';

const FACTS_FOLDER = path.join(import.meta.dirname, '../../docs/yugabytedb-facts');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Which release lines; all where none is named. */
    line: { type: 'string', multiple: true },
    /** `acceptance`, `kills`, `questions`; all where none is named. */
    part: { type: 'string', multiple: true },
    /** Of the acceptance tests, e.g. `test/universe/real`. */
    suite: { type: 'string', multiple: true },
    /** Holdfast's own stand-ins in place of containers. */
    'stand-in': { type: 'boolean', default: false },
    /** Where the facts go. */
    facts: { type: 'string' },
    /** Also waits until an imported snapshot has expired: 80 minutes. */
    expiry: { type: 'boolean', default: false },
    /** First three numbers of the containers' addresses. */
    subnet: { type: 'string', default: '172.30.218' },
    /** Of the table that is backed up while tablet servers are killed. */
    rows: { type: 'string', default: '400000' },
  },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  process.exitCode = isExternal() && !values['stand-in'] ? await testExternal() : await testLines();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}

async function testExternal(): Promise<number> {
  const outcomes = await runOnExternal(positionals);
  for (const { suite, passed, failed } of outcomes) say(`${suite}: ${passed} passed, ${failed} failed`);
  return outcomes.every(({ failed }) => failed === 0) ? 0 : 1;
}

async function testLines(): Promise<number> {
  const isStandIn = values['stand-in'];
  const folder = values.facts ?? (isStandIn ? undefined : FACTS_FOLDER);
  const parts = (values.part ?? PARTS).map(partOf);
  const found: Facts[] = [];
  for (const version of (values.line ?? VERSIONS.map(({ line }) => line)).map(versionOf)) {
    const facts = await runLine({
      version,
      parts,
      holdfast: packageJson.version,
      rows: Number(values.rows),
      ...(values.suite === undefined ? {} : { suites: values.suite }),
      jest: positionals,
      say: (line) => say(`${version.line}: ${line}`),
      start: (say) =>
        isStandIn
          ? startStandInCluster(version)
          : startDockerCluster(version, { subnet: values.subnet, expiry: values.expiry, say }),
    });
    found.push(facts);
    if (folder !== undefined) await writeFacts(folder, facts);
    const summary = process.env.GITHUB_STEP_SUMMARY;
    if (summary !== undefined && summary !== '') await appendFile(summary, render(facts));
    say(`${version.line}: ${isWell(facts) ? 'well' : `NOT WELL ${facts.problems.join('; ')}`}`);
  }
  return found.length > 0 && found.every(isWell) ? 0 : 1;
}

function partOf(name: string): Part {
  const part = PARTS.find((each) => each === name);
  if (part !== undefined) return part;
  throw new Error(`There is no part ${name}; there are ${PARTS.join(', ')}`);
}
