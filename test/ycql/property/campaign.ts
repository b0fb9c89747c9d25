import { forEachBounded } from '../../../repository/bounded.ts';
import { Dice } from '../../crash/dice.ts';
import { openSession } from '../compare.ts';
import { startYcqlProxy } from '../proxy/proxy.ts';
import { plainClient, type TestCluster } from '../zoo.ts';
import { type Stage, type Tally, trySchema } from './trial.ts';

export interface PropertyOptions {
  readonly seed: number;
  /** Numbers of the schemas to try: each is the same whichever others are tried. */
  readonly numbers: readonly number[];
  /** Rows of a table, at most. */
  readonly rows: number;
  /** Schemas under way at a time. A trial waits for the server most of its time. */
  readonly atOnce: number;
  say(line: string): void;
}

export interface PropertyReport {
  /** Schemas by what was done with them. */
  readonly counts: Readonly<Record<string, number>>;
  readonly rows: number;
  readonly cells: number;
  readonly problems: readonly string[];
}

/**
 * Random schemas with random rows, written, changed and deleted while they are scanned, restored into a new keyspace, over newer data,
 * and through YCQL's dialect: every cell is as the source had it before or after the scan, in value, time of writing and time left, or
 * is in the list of losses. A seed gives the same schemas and writes again. One server serves all trials; a trial leaves nothing behind.
 */
export async function runPropertyCampaign(
  cassandra: TestCluster,
  options: PropertyOptions,
): Promise<PropertyReport> {
  const stage: Stage = {
    cassandra,
    proxy: await startYcqlProxy(cassandra),
    client: plainClient(cassandra),
    session: await openSession(cassandra),
  };
  const problems: string[] = [];
  const tally: Tally = { counts: {}, rows: 0, cells: 0 };
  try {
    await forEachBounded(options.numbers, options.atOnce, async (number) => {
      const seed = options.seed * 10_000 + number;
      const startedAt = Date.now();
      const found = await trySchema(stage, number, new Dice(seed), options.rows, tally);
      options.say(`schema ${number} (seed ${seed}): ${found.length} problems, ${Date.now() - startedAt} ms`);
      for (const problem of found) options.say(`    - ${problem}`);
      problems.push(...found.map((problem) => `schema ${number} (seed ${seed}): ${problem}`));
    });
  } finally {
    await stage.session.close();
    await stage.client.shutdown();
    await stage.proxy.stop();
  }
  return { ...tally, problems };
}
