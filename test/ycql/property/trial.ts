import type { Client } from 'cassandra-driver';
import { HoldfastError, messageOf } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import type { YcqlSource } from '../../../model/pipeline.ts';
import type { Dice } from '../../crash/dice.ts';
import type { openSession } from '../compare.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  type TestBackup,
  type TestRepository,
  takeBackup,
  ycqlSource,
} from '../harness.ts';
import type { YcqlProxy } from '../proxy/proxy.ts';
import { plainClient, type TestCluster } from '../zoo.ts';
import { differencesOf, type Expectation } from './oracle.ts';
import { restoreOver } from './over-newer-data.ts';
import { keyText, NOTHING_READ, type ReadTable, readTable } from './read-table.ts';
import { restoreRobbed } from './robbed.ts';
import { type DialectName, ddlOf, type RandomSchema, type RandomTable, randomSchema } from './schemas.ts';
import { type Clock, type Key, type Near, type Workload, workloadsOf } from './workload.ts';

export interface Stage {
  readonly cassandra: TestCluster;
  readonly proxy: YcqlProxy;
  readonly client: Client;
  readonly session: Awaited<ReturnType<typeof openSession>>;
}

export interface Tally {
  readonly counts: Record<string, number>;
  rows: number;
  cells: number;
}

/** By name of the table. */
export type ReadTables = ReadonlyMap<string, ReadTable>;

/** A source that was saved, and what is known of it. */
export interface Made {
  readonly keyspace: string;
  readonly backup: TestBackup;
  /** When the last row had been read. */
  readonly scannedUntil: number;
  readonly before: ReadTables;
  readonly after: ReadTables;
  readonly keys: ReadonlyMap<string, readonly Key[]>;
  /** Keys of rows that were changed during the scan. */
  readonly changed: ReadonlyMap<string, ReadonlySet<string>>;
}

/** A restore that was made: how it writes, and what its target held before. */
export type Restored = Pick<Expectation, 'asNew' | 'restored'> & { readonly own: ReadTables };

/** Some of the rows end within the trial. */
const NEAR: Near = [8, 40];
/** What is written during the scan is still there when the source is read again behind it. */
const NEAR_BUT_SEEN: Near = [100, 200];
const NOTHING: ReadTables = new Map();

/** Tries one schema. Returns what is wrong, a sentence for each. */
export async function trySchema(
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
  const repository = await createRepository();
  try {
    const made = await backUp(stage, repository, schema, dialect, source, dice, mostRows);
    const problems: string[] = [];

    const from = Date.now();
    const outcome = await runRestore(
      restoreContext(made.backup, { into: { [source]: copy }, check: 'rows' }),
    );
    const restored = { from, to: Date.now() };
    problems.push(...outcome.problems.map((problem) => `the restore into ${copy} says: ${problem}`));
    problems.push(
      ...(await compare(stage, schema, copy, made, { asNew: false, own: NOTHING, restored }, tally)),
    );
    count(dialect === 'ycql' ? 'through the YCQL proxy' : 'into a new keyspace');

    if (dialect === 'cassandra' && schema.tables.every(({ isCounter }) => !isCounter)) {
      const written = await restoreOver(stage, schema, made, over, dice);
      problems.push(...written.problems);
      problems.push(...(await compare(stage, schema, over, made, written, tally)));
      count('over newer data');
    }
    if (dice.chance(0.3)) {
      const told = await restoreRobbed(stage, schema, made, robbed);
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
    await repository.remove();
  }
}

/** Fills a keyspace and saves it while it changes. */
async function backUp(
  stage: Stage,
  repository: TestRepository,
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
    ...{ dice, clock, types: schema.types, hasParts: dialect === 'cassandra' },
  });
  for (const workload of workloads) await workload.fill(Math.floor(dice.between(4, mostRows)), NEAR);
  const source: YcqlSource = ycqlSource(through, {
    keyspaces: { include: [keyspace], exclude: [] },
    writeTimes: dialect === 'ycql' ? 'always' : 'auto',
    chunkBytes: 8_000,
    load: { inFlightPerNode: 8, pageRows: 7 },
  });
  const before = await readAll(stage, schema, keyspace);
  const changes = workloads.map((workload) => workload.keys.filter(() => dice.chance(0.15)));
  const backup = await takeBackup(repository, source, () => changeAll(workloads, changes));
  const scannedUntil = Date.now();
  const byTable = <T>(each: (index: number) => T) =>
    new Map(schema.tables.map(({ name }, index) => [name, each(index)]));
  return {
    ...{ keyspace, backup, scannedUntil, before },
    after: await readAll(stage, schema, keyspace),
    keys: byTable((index) => workloads[index]?.keys ?? []),
    changed: byTable((index) => new Set((changes[index] ?? []).map(keyText))),
  };
}

/** Each row changes once at most, so that it is as it was before or after. */
async function changeAll(
  workloads: readonly Workload[],
  changes: readonly (readonly Key[])[],
): Promise<void> {
  for (const [index, workload] of workloads.entries())
    await workload.change(changes[index] ?? [], NEAR_BUT_SEEN);
}

export async function readAll(stage: Stage, { tables }: RandomSchema, keyspace: string): Promise<ReadTables> {
  const read = new Map<string, ReadTable>();
  for (const table of tables) read.set(table.name, await readTable(stage.session, keyspace, table));
  return read;
}

async function compare(
  stage: Stage,
  schema: RandomSchema,
  keyspace: string,
  made: Made,
  { asNew, own, restored }: Restored,
  tally: Tally,
): Promise<readonly string[]> {
  const problems: string[] = [];
  const of = (tables: ReadTables, { name }: RandomTable) => tables.get(name) ?? NOTHING_READ;
  for (const table of schema.tables) {
    const copy = await readTable(stage.session, keyspace, table);
    const { losses, expiring } = listedLosses(made.backup.manifest, table);
    const differences = differencesOf(copy, {
      states: [of(made.before, table), of(made.after, table)],
      now: await readTable(stage.session, made.keyspace, table),
      changed: made.changed.get(table.name) ?? new Set(),
      partitionColumns: table.partition.length,
      ...{ untimed: losses('time of writing'), unended: losses('expiry'), expiring },
      ...{ scannedUntil: made.scannedUntil, restored, asNew, own: of(own, table) },
    });
    tally.rows += copy.rows.size;
    for (const cells of [...copy.rows.values(), ...copy.statics.values()]) tally.cells += cells.size;
    problems.push(...differences.slice(0, 5).map((difference) => `${keyspace}.${table.name} ${difference}`));
  }
  return problems;
}

interface ListedLosses {
  /** Columns that the losses of a kind name. */
  losses(what: 'time of writing' | 'expiry'): ReadonlySet<string>;
  readonly expiring: number;
}

function listedLosses({ databases }: Manifest, table: RandomTable): ListedLosses {
  const listed = databases.flatMap(({ tables }) => tables).find((one) => one.table === table.name);
  return {
    losses: (what) =>
      new Set(
        (listed?.losses ?? []).flatMap((loss) => {
          const columns = loss.startsWith(`${what} of `)
            ? /^.* of (.*): the server doesn't tell it/.exec(loss)
            : null;
          return columns?.[1]?.split(', ') ?? [];
        }),
      ),
    expiring: listed?.expiring ?? 0,
  };
}
