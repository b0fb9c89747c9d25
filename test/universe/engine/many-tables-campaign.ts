/**
 * `node test/universe/engine/many-tables-campaign.ts [--tables 5000]`: a database of so many tables on three simulated nodes, backed up and restored under another
 * name by a worker and three agents. Each table's rows must come back, no tablet server may die, and nothing may be left.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { query } from '../../support/sql.ts';
import type { Universe } from '../launcher.ts';
import { leftBehind, verdictOf } from './outcome.ts';
import { deadServers } from './rig.ts';
import { startStage } from './stage.ts';

const BATCH = 250;
const COPY = 'shop_again';

const { values } = parseArgs({ options: { tables: { type: 'string', default: '5000' } } });
const tables = Number(values.tables);

const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);

const stage = await startStage({ tabletsPerTable: 1, dataDirectories: 1 });
try {
  const { universe } = stage;
  await makeTables(universe);
  const plan = await readFile(stage.planFile, 'utf8');
  await writeFile(
    stage.planFile,
    plan.replace(/^ *keyspaces: .*\n/m, '').replace(/patience: .*/, 'patience: { agent: 1m }'),
  );
  const wanted = await contentsOf(universe, 'shop');
  say(`${tables} tables are filled`);
  const { backup } = await stage.json<{ backup: string }>('backup', stage.planFile);
  say(`backup ${backup}: verify content says ${await verdictOf(stage, backup)}`);
  const restored = await stage.run('restore', stage.planFile, '--into', `shop=${COPY}`);
  say(restored.stdout);
  const found = await contentsOf(universe, COPY);
  const different = [...wanted].filter(([table, digest]) => found.get(table) !== digest);
  const problems = [
    ...(restored.code === 0 ? [] : [`the restore ended with ${restored.code}: ${restored.stderr}`]),
    ...(found.size === wanted.size ? [] : [`${found.size} tables came back`]),
    ...different.slice(0, 10).map(([table]) => `${table} differs`),
    ...(await deadServers(universe)).map((death) => `a tablet server died: ${death}`),
    ...(await leftBehind(stage)),
  ];
  for (const problem of problems) say(`- ${problem}`);
  say(`${wanted.size} tables compared, ${different.length} differ; ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await stage.stop();
}

async function makeTables(universe: Universe): Promise<void> {
  await query(universe.ysql('yugabyte'), 'CREATE DATABASE shop');
  for (let first = 0; first < tables; first += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, tables - first) }, (_, place) => first + place);
    await query(
      universe.ysql('shop'),
      ...batch.map((number) => `CREATE TABLE t${number} (id int PRIMARY KEY, note text)`),
    );
    await query(
      universe.ysql('shop'),
      ...batch.map(
        (number) => `INSERT INTO t${number} SELECT i, 't${number} ' || i FROM generate_series(1, 3) i`,
      ),
    );
  }
}

/** A digest of the rows of each table. */
async function contentsOf(universe: Universe, database: string): Promise<ReadonlyMap<string, unknown>> {
  const contents = new Map<string, unknown>();
  for (let first = 0; first < tables; first += BATCH) {
    const names = Array.from({ length: Math.min(BATCH, tables - first) }, (_, place) => `t${first + place}`);
    const [row] = await query(
      universe.ysql(database),
      `SELECT ${names.map((name) => `(SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM ${name} t) AS ${name}`).join(', ')}`,
    );
    for (const name of names) contents.set(name, row?.[name]);
  }
  return contents;
}
