import { ysqlEngine } from '../../../engines/ysql/engine.ts';
import { messageOf } from '../../../model/errors.ts';
import { Dice } from '../../crash/dice.ts';
import { query } from '../../support/sql.ts';
import { compareDatabases } from '../compare.ts';
import { controlRestore, lostAgainst } from '../control.ts';
import { runEagerRestore, wrongIndexes } from '../eager.ts';
import { restoreContext, type TestRepository, type TestServer, takeBackup, ysqlSource } from '../harness.ts';
import { brokenPrecedences } from './precedence.ts';
import { fillAtRandom } from './schema.ts';

export interface Trial {
  readonly problems: readonly string[];
  /** What was looked at, one clause. */
  readonly told: string;
}

/**
 * A random schema is backed up and restored in an unkind order. The copy equals the source, its indexes find every row, what is
 * generated is what its expression gives anew, and nothing ran before what it may need.
 */
export async function orderTrial(
  server: TestServer,
  repository: TestRepository,
  seed: number,
): Promise<Trial> {
  const dice = new Dice(seed);
  const [source, copy, control] = [`order_${seed}`, `order_${seed}_copy`, `order_${seed}_control`];
  await query(server.url(), `CREATE DATABASE ${source}`);
  try {
    const { statements } = await fillAtRandom(server.url(source), dice, { broken: false });
    const backup = await takeBackup(repository, server.url(source), ysqlSource({ chunkBytes: 2_000 }));
    const context = restoreContext(backup, server.url(), { into: { [source]: copy } });
    const restored = await runEagerRestore(context, dice.chance(0.5)).catch((error: unknown) => error);
    if (!isOutcome(restored)) {
      // Some schemas pg_dump itself writes so that they can't be made again.
      const refused = await controlRestore(server, source, control);
      return {
        problems: refused === '' ? [messageOf(restored)] : [],
        told: `refused, as by pg_restore: ${messageOf(restored)}`,
      };
    }
    const { problems, plan } = restored;
    const { broken, pairs } = await brokenPrecedences(context, plan, server.url(copy));
    const differences = await compareDatabases(server, server.url(source), server.url(copy), {
      ignoreDatabaseProperties: true,
    });
    return {
      problems: [
        ...problems,
        ...broken,
        ...differences,
        ...(await wrongGenerated(server.url(copy))),
        ...(await wrongIndexes(server.url(copy))),
      ],
      told: `${statements.length} statements, ${plan.tasks} tasks, ${plan.postDataWaves.length} waves, ${pairs} pairs in another order`,
    };
  } finally {
    await dropAll(server, [source, copy, control]);
  }
}

/**
 * A random schema, some of which can't be made again, is restored by `pg_dump | pg_restore` and by a tolerant restore: whatever the
 * one brings back, the other brings back, row for row.
 */
export async function toleranceTrial(
  server: TestServer,
  repository: TestRepository,
  seed: number,
): Promise<Trial> {
  const dice = new Dice(seed);
  const [source, copy, control] = [`loss_${seed}`, `loss_${seed}_copy`, `loss_${seed}_control`];
  await query(server.url(), `CREATE DATABASE ${source}`);
  try {
    const { statements } = await fillAtRandom(server.url(source), dice, { broken: true });
    const backup = await takeBackup(
      repository,
      server.url(source),
      ysqlSource({ chunkBytes: 64 * 1024 * 1024 }),
    );
    await controlRestore(server, source, control);
    const wish = { into: { [source]: copy }, tolerate: true, takeName: true };
    const context = restoreContext(backup, server.url(), wish);
    const { leftOut = [] } = await runEagerRestore(context, dice.chance(0.5));
    await ysqlEngine.restore.release?.(context);
    return {
      problems: await lostAgainst(server.url(control), server.url(copy), server.url(source)),
      told: `${statements.length} statements, ${leftOut.length} left out`,
    };
  } finally {
    await dropAll(server, [source, copy, control]);
  }
}

function isOutcome(restored: unknown): restored is Awaited<ReturnType<typeof runEagerRestore>> {
  return typeof restored === 'object' && restored !== null && 'plan' in restored;
}

async function dropAll(server: TestServer, names: readonly string[]): Promise<void> {
  const left = await query(server.url(), 'SELECT datname FROM pg_database');
  for (const { datname } of left) {
    if (names.some((name) => String(datname).startsWith(name))) {
      await query(server.url(), `DROP DATABASE IF EXISTS ${String(datname)} WITH (FORCE)`);
    }
  }
}

/** Generated columns whose value is not what their expression gives now. */
async function wrongGenerated(url: string): Promise<readonly string[]> {
  const columns = await query(
    url,
    `SELECT a.attrelid::regclass::text AS "table", quote_ident(a.attname) AS "column", pg_get_expr(d.adbin, d.adrelid) AS expression
     FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum JOIN pg_class c ON c.oid = a.attrelid
     WHERE a.attgenerated <> '' AND c.relkind = 'r'`,
  );
  const wrong: string[] = [];
  for (const { table, column, expression } of columns) {
    const [found] = await query(
      url,
      `SELECT count(*)::int AS rows FROM ONLY ${table} WHERE ${column} IS DISTINCT FROM ${expression}`,
    );
    if (found?.rows !== 0)
      wrong.push(`${String(table)}.${String(column)}: ${String(found?.rows)} rows are not what is generated`);
  }
  return wrong;
}
