import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RestoreContext, RestoreOutcome } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import type { RestorePlan } from '../../model/backup.ts';
import { messageOf } from '../../model/errors.ts';
import { query } from '../support/sql.ts';
import type { TestServer } from './harness.ts';

const { restore } = ysqlEngine;

/**
 * A restore in an unkind order that its plan allows: what may be applied before the load has ended is applied as soon as it may, and
 * what may run at once is run from the last to the first, where `backwards` asks for it.
 */
export async function runEagerRestore(
  context: RestoreContext,
  backwards = false,
): Promise<RestoreOutcome & { readonly plan: RestorePlan }> {
  const plan = await restore.plan(context);
  await restore.prepare(context);
  const applied = new Set<number>();
  const ended = new Set<number>();
  const units = plan.tableUnits ?? [];
  const applyReady = async () => {
    let prefix = 0;
    while (ended.has(prefix)) prefix += 1;
    for (const [place, { wave, unit, afterTasks, afterUnits }] of units.entries()) {
      if (applied.has(place) || afterTasks > prefix || afterUnits.some((one) => !applied.has(one))) continue;
      await restore.postData(context, { wave, unit, units: plan.postDataWaves[wave] ?? 0 });
      applied.add(place);
    }
  };
  let first = 0;
  for (const size of plan.loadGroups ?? [plan.tasks]) {
    for (const task of sequence(first, size, backwards)) {
      await restore.load(context, task);
      ended.add(task);
      await applyReady();
    }
    first += size;
  }
  if (applied.size !== units.length) throw new Error('units of tables wait for what never comes');
  const done = Math.max(0, ...units.map(({ wave }) => wave + 1));
  for (const [wave, count] of plan.postDataWaves.entries()) {
    if (wave < done) continue;
    for (const unit of sequence(0, count, backwards)) {
      await restore.postData(context, { wave, unit, units: count });
    }
  }
  return { ...(await restore.finish(context)), plan };
}

function sequence(first: number, length: number, backwards: boolean): readonly number[] {
  const numbers = Array.from({ length }, (_, index) => first + index);
  return backwards ? numbers.reverse() : numbers;
}

/** Makes a database of one of the small inputs in `cases/`; `PORT` in it stands for the server's port. */
export async function createCase(server: TestServer, name: string, database: string): Promise<void> {
  await query(server.url(), `CREATE DATABASE ${database}`);
  const text = await readFile(join(import.meta.dirname, 'cases', `${name}.sql`), 'utf8');
  const { port, password } = new URL(server.url());
  await query(
    server.url(database),
    text.replaceAll('PORT', port).replaceAll("password 'x'", `password '${password}'`),
  );
}

/**
 * What is wrong with the B-tree indexes of a database; empty when nothing is. amcheck evaluates every predicate and expression anew
 * and looks for each row in the index; then the rows that an index finds are counted against those of a scan.
 */
export async function wrongIndexes(url: string): Promise<readonly string[]> {
  await query(url, 'CREATE EXTENSION IF NOT EXISTS amcheck');
  const indexes = await query(
    url,
    `SELECT c.oid::regclass::text AS index, i.indrelid::regclass::text AS "table", pg_get_indexdef(c.oid, 1, true) AS first,
       coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') AS predicate
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
       JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam
     WHERE c.relkind = 'i' AND t.relkind IN ('r', 'm') AND t.relispopulated AND a.amname = 'btree' AND n.nspname !~ '^pg_'
     ORDER BY 1`,
  );
  const wrong: string[] = [];
  for (const { index, table, first, predicate } of indexes) {
    try {
      await query(url, `SELECT bt_index_check('${index}'::regclass, true)`);
    } catch (error) {
      wrong.push(`${index}: ${messageOf(error)}`);
    }
    const found = `SELECT ${first} AS value FROM ONLY ${table} WHERE ${predicate}`;
    const scan = 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off';
    const [byScan] = await query(url, scan, `SELECT count(value)::int AS rows FROM (${found}) s`);
    const [byIndex] = await query(
      url,
      `${scan}; CREATE TEMPORARY TABLE found AS SELECT DISTINCT value FROM (${found}) s WHERE value IS NOT NULL`,
      'RESET ALL; SET enable_seqscan = off',
      `SELECT coalesce(sum((SELECT count(*) FROM ONLY ${table} WHERE ${first} = f.value AND ${predicate})), 0)::int AS rows
       FROM found f`,
    );
    if (byScan?.rows !== byIndex?.rows) {
      wrong.push(`${index}: ${String(byIndex?.rows)} rows by the index, ${String(byScan?.rows)} by a scan`);
    }
  }
  return wrong;
}
