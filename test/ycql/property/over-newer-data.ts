import { ycqlEngine } from '../../../engines/ycql/engine.ts';
import { HoldfastError } from '../../../model/errors.ts';
import type { Dice } from '../../crash/dice.ts';
import { restoreContext, runRestore } from '../harness.ts';
import { quoted, type RandomSchema } from './schemas.ts';
import { type Made, type Restored, readAll, type Stage } from './trial.ts';
import { type Near, workloadsOf } from './workload.ts';

/** Seconds that a trial never takes. */
const FAR: Near = [3_000, 5_000];

/**
 * Rows alone into tables that others have written to since, the very rows of the backup and others: refused first, and then written as
 * new.
 */
export async function restoreOver(
  stage: Stage,
  schema: RandomSchema,
  { backup, keyspace: source, keys }: Made,
  over: string,
  dice: Dice,
): Promise<Restored & { readonly problems: readonly string[] }> {
  const into = { [source]: over };
  const created = await runRestore(restoreContext(backup, { into, contents: 'schema' }));
  const problems = [...created.problems];
  const workloads = workloadsOf(stage.client, over, schema, { dice, types: schema.types, hasParts: true });
  for (const [index, workload] of workloads.entries()) {
    await workload.fill(6, FAR);
    const ofBackup = keys.get(schema.tables[index]?.name ?? '') ?? [];
    await workload.change(
      ofBackup.filter(() => dice.chance(0.6)),
      FAR,
    );
    await deleteSome(
      stage,
      schema,
      index,
      over,
      ofBackup.filter(() => dice.chance(0.3)),
    );
  }
  const own = await readAll(stage, schema, over);
  const request = { into, contents: 'data' as const };
  const hasCells = [...own.values()].some(({ rows, statics }) =>
    [...rows.values(), ...statics.values()].some((cells) => cells.size > 0),
  );
  try {
    await ycqlEngine.restore.plan(restoreContext(backup, request));
    if (hasCells) problems.push(`newer data in ${over} was not refused`);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'RESTORE_TARGET_NEWER') throw error;
  }
  const from = Date.now();
  const restored = await runRestore(restoreContext(backup, { ...request, asNew: true }));
  problems.push(...restored.problems.map((problem) => `the restore into ${over} says: ${problem}`));
  return { problems, asNew: true, own, restored: { from, to: Date.now() } };
}

/** Rows of the backup that others have deleted, with tombstones that are newer than it. */
async function deleteSome(
  { client }: Stage,
  { tables }: RandomSchema,
  index: number,
  keyspace: string,
  keys: readonly (readonly Buffer[])[],
): Promise<void> {
  const table = tables[index];
  if (table === undefined) return;
  const names = [...table.partition, ...table.clustering].map(({ name }) => `${quoted(name)} = ?`);
  for (const key of keys) {
    const query = `DELETE FROM ${keyspace}.${quoted(table.name)} WHERE ${names.join(' AND ')}`;
    await client.execute(query, [...key], { prepare: true });
  }
}
