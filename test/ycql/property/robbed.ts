import { ycqlEngine } from '../../../engines/ycql/engine.ts';
import { restoreContext } from '../harness.ts';
import { readTable } from './read-table.ts';
import { quoted, type RandomSchema } from './schemas.ts';
import type { Made, Stage } from './trial.ts';

/**
 * Takes a row that doesn't expire away before the comparison at the end of a restore. Returns whether the restore told that; undefined
 * where there was none.
 */
export async function restoreRobbed(
  stage: Stage,
  schema: RandomSchema,
  { backup, keyspace: source }: Made,
  robbed: string,
): Promise<boolean | undefined> {
  const context = restoreContext(backup, { into: { [source]: robbed }, check: 'rows' });
  const { tasks } = await ycqlEngine.restore.plan(context);
  await ycqlEngine.restore.prepare(context);
  for (let task = 0; task < tasks; task += 1) await ycqlEngine.restore.load(context, task);
  const taken = await takeOne(stage, schema, robbed);
  const { problems } = await ycqlEngine.restore.finish(context);
  return taken ? problems.some((problem) => problem.endsWith('is missing')) : undefined;
}

async function takeOne({ session, client }: Stage, schema: RandomSchema, keyspace: string): Promise<boolean> {
  for (const table of schema.tables.filter(({ isCounter }) => !isCounter)) {
    const { rows } = await readTable(session, keyspace, table);
    const lasting = [...rows].find(([, cells]) =>
      [...cells.values()].some(({ parts }) => parts.some(({ ends }) => ends === undefined)),
    );
    if (lasting === undefined) continue;
    const [key] = lasting;
    const names = [...table.partition, ...table.clustering].map(({ name }) => `${quoted(name)} = ?`);
    await client.execute(
      `DELETE FROM ${keyspace}.${quoted(table.name)} WHERE ${names.join(' AND ')}`,
      key.split('/').map((hex) => Buffer.from(hex, 'hex')),
      { prepare: true },
    );
    return true;
  }
  return false;
}
