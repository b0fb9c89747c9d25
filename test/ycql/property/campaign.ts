import type { Client } from 'cassandra-driver';
import { ycqlEngine } from '../../../engines/ycql/engine.ts';
import { HoldfastError, messageOf } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import type { YcqlSource } from '../../../model/pipeline.ts';
import { Dice } from '../../crash/dice.ts';
import { openSession } from '../compare.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  type TestBackup,
  type TestRepository,
  takeBackup,
  ycqlSource,
} from '../harness.ts';
import { startYcqlProxy, type YcqlProxy } from '../proxy/proxy.ts';
import { plainClient, type TestCluster } from '../zoo.ts';
import { differencesOf, type ReadTable, readTable } from './oracle.ts';
import {
  type DialectName,
  ddlOf,
  quoted,
  type RandomSchema,
  type RandomTable,
  randomSchema,
} from './schemas.ts';
import { type Clock, type Workload, workloadsOf } from './workload.ts';

export interface PropertyOptions {
  readonly seed: number;
  readonly schemas: number;
  /** The number of the first one: to look at one again. Default 0. */
  readonly first?: number;
  /** Rows of a table, at most. */
  readonly rows: number;
  say(line: string): void;
}

export interface PropertyReport {
  /** Schemas by what was done with them. */
  readonly counts: Readonly<Record<string, number>>;
  readonly rows: number;
  readonly cells: number;
  readonly problems: readonly string[];
}

interface Stage {
  readonly cassandra: TestCluster;
  readonly proxy: YcqlProxy;
  readonly client: Client;
  readonly repository: TestRepository;
  readonly session: Awaited<ReturnType<typeof openSession>>;
}

interface Tally {
  readonly counts: Record<string, number>;
  rows: number;
  cells: number;
}

/**
 * Random schemas with random rows, written, changed and deleted while they are scanned, restored into a new keyspace, over newer data,
 * and through YCQL's dialect: every cell is as the source had it before or after the scan, in value, time of writing and time left, or
 * is in the list of losses. A seed gives the same schemas and writes again; which of them fall into the scan is up to the machine.
 */
export async function runPropertyCampaign(
  cassandra: TestCluster,
  options: PropertyOptions,
): Promise<PropertyReport> {
  const stage: Stage = {
    cassandra,
    proxy: await startYcqlProxy(cassandra),
    client: plainClient(cassandra),
    repository: await createRepository(),
    session: await openSession(cassandra),
  };
  const problems: string[] = [];
  const tally: Tally = { counts: {}, rows: 0, cells: 0 };
  try {
    const { first = 0 } = options;
    for (let number = first; number < first + options.schemas; number += 1) {
      const seed = options.seed * 10_000 + number;
      const startedAt = Date.now();
      const found = await trySchema(stage, number, new Dice(seed), options.rows, tally);
      options.say(`schema ${number} (seed ${seed}): ${found.length} problems, ${Date.now() - startedAt} ms`);
      for (const problem of found) options.say(`    - ${problem}`);
      problems.push(...found.map((problem) => `schema ${number} (seed ${seed}): ${problem}`));
    }
  } finally {
    await stage.session.close();
    await stage.client.shutdown();
    await stage.proxy.stop();
    await stage.repository.remove();
  }
  return { ...tally, problems };
}

async function trySchema(
  stage: Stage,
  number: number,
  dice: Dice,
  mostRows: number,
  tally: Tally,
): Promise<readonly string[]> {
  const dialect: DialectName = number % 3 === 2 ? 'ycql' : 'cassandra';
  const schema = randomSchema(dice, dialect);
  const names = ['source', 'copy', 'over', 'robbed'].map((name) => `${name}_${number}`);
  const [source = '', copy = '', over = '', robbed = ''] = names;
  const count = (what: string) => {
    tally.counts[what] = (tally.counts[what] ?? 0) + 1;
  };
  try {
    const made = await backUp(stage, schema, dialect, source, dice, mostRows);
    const problems: string[] = [];
    const check = async (
      keyspace: string,
      how: { readonly asNew: boolean; readonly othersAllowed: boolean },
    ) => problems.push(...(await compare(stage, schema, keyspace, made, how, tally)));

    const restored = await runRestore(
      restoreContext(made.backup, { into: { [source]: copy }, check: 'rows' }),
    );
    problems.push(...restored.problems.map((problem) => `the restore into ${copy} says: ${problem}`));
    await check(copy, { asNew: false, othersAllowed: false });
    count(dialect === 'ycql' ? 'through the YCQL proxy' : 'into a new keyspace');

    if (dialect === 'cassandra' && schema.tables.every(({ isCounter }) => !isCounter)) {
      problems.push(...(await restoreOver(stage, schema, made.backup, { source, over }, dice)));
      await check(over, { asNew: true, othersAllowed: true });
      count('over newer data');
    }
    if (dice.chance(0.3)) {
      const told = await restoreRobbed(stage, schema, made.backup, { source, robbed });
      if (told !== undefined) {
        count('with a row taken away');
        if (!told) problems.push(`a row that was taken away from ${robbed} was not told`);
      }
    }
    return problems;
  } catch (error) {
    const remedy = error instanceof HoldfastError ? ` (${error.code})` : '';
    return [`it did not come to its end: ${messageOf(error)}${remedy}`];
  } finally {
    for (const name of names) await stage.client.execute(`DROP KEYSPACE IF EXISTS ${name}`);
  }
}

interface Made {
  readonly backup: TestBackup;
  readonly before: ReadonlyMap<string, ReadTable>;
  readonly after: ReadonlyMap<string, ReadTable>;
}

/** Fills a keyspace and saves it while it changes. */
async function backUp(
  stage: Stage,
  schema: RandomSchema,
  dialect: DialectName,
  keyspace: string,
  dice: Dice,
  mostRows: number,
): Promise<Made> {
  const through = dialect === 'ycql' ? stage.proxy : stage.cassandra;
  const ddl = plainClient(through);
  try {
    for (const statement of ddlOf(schema, keyspace)) await ddl.execute(statement);
  } finally {
    await ddl.shutdown();
  }
  const clock: Clock = { micros: 1_700_000_000_000_000n };
  const workloads = workloadsOf(stage.client, keyspace, schema, {
    ...{ dice, clock, types: schema.types },
    ...{ near: [8, 40] as const, hasParts: dialect === 'cassandra' },
  });
  for (const workload of workloads) await workload.fill(Math.floor(dice.between(4, mostRows)));
  const source: YcqlSource = ycqlSource(through, {
    keyspaces: { include: [keyspace], exclude: [] },
    writeTimes: dialect === 'ycql' ? 'always' : 'auto',
    chunkBytes: 8_000,
    load: { inFlightPerNode: 8, pageRows: 7 },
  });
  const before = await readAll(stage, schema, keyspace);
  // Each row changes once at most, so that it is as it was before or after.
  const backup = await takeBackup(stage.repository, source, () => changeSome(workloads, dice));
  return { backup, before, after: await readAll(stage, schema, keyspace) };
}

/** Runs for a while beside the scan. */
function changeSome(workloads: readonly Workload[], dice: Dice): Promise<void> {
  const changes = workloads.flatMap((workload) =>
    workload.keys.filter(() => dice.chance(0.15)).map((key) => () => workload.change(key)),
  );
  return changes.reduce((sofar, change) => sofar.then(change), Promise.resolve());
}

async function readAll(
  stage: Stage,
  { tables }: RandomSchema,
  keyspace: string,
): Promise<ReadonlyMap<string, ReadTable>> {
  const read = new Map<string, ReadTable>();
  for (const table of tables) read.set(table.name, await readTable(stage.session, keyspace, table));
  return read;
}

async function compare(
  stage: Stage,
  schema: RandomSchema,
  keyspace: string,
  { backup, before, after }: Made,
  how: { readonly asNew: boolean; readonly othersAllowed: boolean },
  tally: Tally,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const table of schema.tables) {
    const copy = await readTable(stage.session, keyspace, table);
    const none: ReadTable = new Map();
    const losses = lossesOf(backup.manifest, table);
    const differences = differencesOf(copy, {
      states: [before.get(table.name) ?? none, after.get(table.name) ?? none],
      ...{ untimed: losses('time of writing'), unended: losses('expiry') },
      markersListed: backup.manifest.databases.some(({ tables }) =>
        tables.some((one) => one.table === table.name && (one.expiring ?? 0) > 0),
      ),
      ...how,
    });
    tally.rows += copy.size;
    for (const row of copy.values()) tally.cells += row.cells.size;
    problems.push(
      ...differences.slice(0, 5).map((difference) => `${keyspace}.${table.name} row ${difference}`),
    );
  }
  return problems;
}

/** Columns that a table's losses name; what the lists of counters say is of the whole table. */
function lossesOf({ databases }: Manifest, table: RandomTable): (what: string) => ReadonlySet<string> {
  const own = databases.flatMap(({ tables }) => tables).find((one) => one.table === table.name)?.losses ?? [];
  const columns = [...table.statics, ...table.regulars].map(({ name }) => name);
  return (what) =>
    new Set(
      own
        .filter((loss) => loss.startsWith(`${what} of `))
        .flatMap((loss) => columns.filter((name) => loss.includes(name))),
    );
}

/** Rows alone into tables that others have written to since: refused first, and then written as new. */
async function restoreOver(
  stage: Stage,
  schema: RandomSchema,
  backup: TestBackup,
  { source, over }: { readonly source: string; readonly over: string },
  dice: Dice,
): Promise<readonly string[]> {
  const into = { [source]: over };
  const created = await runRestore(restoreContext(backup, { into, contents: 'schema' }));
  const workloads = workloadsOf(stage.client, over, schema, {
    dice,
    types: schema.types,
    near: [3_000, 5_000],
    hasParts: true,
  });
  // The very rows of the backup, and others.
  const sources = workloadsOf(stage.client, source, schema, {
    dice,
    types: schema.types,
    near: [3_000, 5_000],
    hasParts: true,
  });
  for (const [index, workload] of workloads.entries()) {
    await workload.fill(6);
    for (const key of sources[index]?.keys ?? []) await workload.change(key);
  }
  await overwriteAll(stage, schema, source, over);
  const request = { into, contents: 'data' as const };
  const problems = [...created.problems];
  const hasValues = schema.tables.some(({ statics, regulars }) => statics.length + regulars.length > 0);
  try {
    await ycqlEngine.restore.plan(restoreContext(backup, request));
    if (hasValues && (await hasCells(stage, schema, over)))
      problems.push(`newer data in ${over} was not refused`);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'RESTORE_TARGET_NEWER') throw error;
  }
  const restored = await runRestore(restoreContext(backup, { ...request, asNew: true }));
  return [...problems, ...restored.problems.map((problem) => `the restore into ${over} says: ${problem}`)];
}

/** Deletes every second row of the source's in the target, with tombstones that are newer than the backup. */
async function overwriteAll(
  stage: Stage,
  { tables }: RandomSchema,
  source: string,
  over: string,
): Promise<void> {
  for (const table of tables) {
    const keys = [...table.partition, ...table.clustering];
    const names = keys.map(({ name }) => quoted(name));
    const page = await stage.session.rows(
      'list keys',
      `SELECT ${names.join(', ')} FROM ${source}.${quoted(table.name)}`,
    );
    const { rowsOf } = await import('../../../engines/ycql/rows.ts');
    let index = 0;
    for (const cells of rowsOf(page, names.length)) {
      index += 1;
      if (index % 2 === 0 || cells.some((cell) => cell === null)) continue;
      await stage.client.execute(
        `DELETE FROM ${over}.${quoted(table.name)} WHERE ${names.map((name) => `${name} = ?`).join(' AND ')}`,
        cells.map((cell) => (cell === null ? null : Buffer.from(cell))),
        { prepare: true },
      );
    }
  }
}

async function hasCells(stage: Stage, { tables }: RandomSchema, keyspace: string): Promise<boolean> {
  for (const table of tables) {
    for (const row of (await readTable(stage.session, keyspace, table)).values())
      if (row.cells.size > 0) return true;
  }
  return false;
}

/** Takes a row that doesn't expire away before the comparison. Returns whether that was told; undefined where there was none. */
async function restoreRobbed(
  stage: Stage,
  schema: RandomSchema,
  backup: TestBackup,
  { source, robbed }: { readonly source: string; readonly robbed: string },
): Promise<boolean | undefined> {
  const context = restoreContext(backup, { into: { [source]: robbed }, check: 'rows' });
  const { tasks } = await ycqlEngine.restore.plan(context);
  await ycqlEngine.restore.prepare(context);
  for (let task = 0; task < tasks; task += 1) await ycqlEngine.restore.load(context, task);
  let taken: string | undefined;
  for (const table of schema.tables.filter(({ isCounter }) => !isCounter)) {
    const rows = await readTable(stage.session, robbed, table);
    const lasting = [...rows].find(
      ([, { own, isBare }]) =>
        !isBare && own.some((cell) => [...cell.values()].some(({ endsAtMs }) => endsAtMs === undefined)),
    );
    if (lasting === undefined || taken !== undefined) continue;
    const [key] = lasting;
    taken = key;
    const names = [...table.partition, ...table.clustering].map(({ name }) => `${quoted(name)} = ?`);
    await stage.client.execute(
      `DELETE FROM ${robbed}.${quoted(table.name)} WHERE ${names.join(' AND ')}`,
      key.split('/').map((hex) => Buffer.from(hex, 'hex')),
      { prepare: true },
    );
  }
  const { problems } = await ycqlEngine.restore.finish(context);
  return taken === undefined ? undefined : problems.some((problem) => problem.endsWith('is missing'));
}
