import { HoldfastError } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import { forEachBounded } from '../../repository/bounded.ts';
import type { VerbContext } from '../engine.ts';
import { namesIn, openUniverse } from './universe.ts';
import { YB_ADMIN } from './yb-admin/errors.ts';
import { type ListedTable, listTables } from './yb-admin/namespaces.ts';
import { flushTable } from './yb-admin/upkeep.ts';

const TABLES_AT_ONCE = 4;

/**
 * Writes memtables to files, so that the snapshot has little to do. A snapshot needs no flush, so a table that can't be flushed within the wait is
 * passed over.
 */
export async function flushUniverse(
  verb: VerbContext,
  source: UniverseSource,
  { waitMs }: { readonly waitMs: number },
): Promise<{ readonly waitedMs: number }> {
  const startedAt = Date.now();
  const { admin } = await openUniverse(verb, source);
  const wanted = namesIn(source);
  const isWanted = ({ kind, namespace, type }: ListedTable) =>
    type !== 'catalog' && wanted.some(({ api, name }) => api === kind && name === namespace);
  const tables = (await listTables(admin)).filter(isWanted);
  await forEachBounded(tables, TABLES_AT_ONCE, async ({ id, name }) => {
    const leftMs = startedAt + waitMs - Date.now();
    if (leftMs < 1_000) return;
    try {
      await flushTable(admin, id, Math.ceil(Math.min(leftMs, 60_000) / 1_000));
    } catch (error) {
      const passing: readonly string[] = [YB_ADMIN.timedOut, YB_ADMIN.notFound, YB_ADMIN.busy];
      if (!(error instanceof HoldfastError && passing.includes(error.code))) throw error;
      verb.log('a table was not flushed', { table: name, reason: error.message });
    }
    verb.heartbeat({ flushed: name });
  });
  return { waitedMs: Date.now() - startedAt };
}
