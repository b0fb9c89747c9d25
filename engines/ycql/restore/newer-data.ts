import { permanent } from '../../../model/errors.ts';
import { instantOf } from '../../../model/manifest.ts';
import { BUCKETS, rangeBounds, selectStatement } from '../dialect.ts';
import { planReading } from '../reading.ts';
import { elementsOf, type RawCell, rowsOf } from '../rows.ts';
import { scan } from '../scan.ts';
import { type TableSchema, valueColumns } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import type { RestoreJob } from './job.ts';

/**
 * Throws `RESTORE_TARGET_NEWER` (permanent) if a table holds a cell that was written after the backup was read. Rows of the backup would lose
 * against it, or silently replace it. CQL doesn't show newer deletions: the comparison at the end finds what they hide.
 */
export async function checkNotNewer(
  job: RestoreJob,
  session: CqlSession,
  keyspace: string,
  table: TableSchema,
): Promise<void> {
  const { context, source } = job;
  const { product } = session.server;
  const { selectors } = await planReading(session, keyspace, table, 'always', context.signal);
  const keys = table.partitionKey.length + table.clustering.length;
  const times = selectors
    .slice(keys + valueColumns(table).length)
    .filter((each) => each.startsWith('writetime('));
  if (times.length === 0) return;
  const readUntil = instantOf(context.manifest);
  const newest = BigInt(Date.parse(readUntil)) * 1_000n;
  const pages = scan(session, {
    statement: selectStatement(product, keyspace, table, times),
    params: rangeBounds(product, 0, BUCKETS - 1),
    pageRows: source.load.pageRows,
    doing: `look for newer data in ${keyspace}.${table.name}`,
    signal: context.signal,
    log: context.log,
  });
  for await (const page of pages) {
    for (const cells of rowsOf(page, times.length)) {
      const newer = cells.flatMap(timesIn).find((time) => time > newest);
      if (newer !== undefined) throw targetNewer(`${keyspace}.${table.name}`, newer, readUntil);
    }
  }
}

/** The write times in a cell: its own, or that of each element. */
function timesIn(cell: RawCell): readonly bigint[] {
  if (cell === null) return [];
  const times = cell.length === 8 ? [cell] : elementsOf(cell);
  return times.flatMap((time) => (time === null ? [] : [time.readBigInt64BE(0)]));
}

/** Clocks of nodes and worker differ by less, so a write time up to this far ahead is not called a time in the future. */
const CLOCK_SKEW_MS = 60_000;
/** The last instant of a Date. */
const LAST_MS = 8_640_000_000_000_000n;

function targetNewer(table: string, micros: bigint, readUntil: string) {
  const ms = micros / 1_000n;
  const at = ms <= LAST_MS ? new Date(Number(ms)).toISOString() : `${micros} microseconds since 1970`;
  if (ms > BigInt(Date.now() + CLOCK_SKEW_MS)) {
    return permanent(
      'RESTORE_TARGET_NEWER',
      `Table ${table} holds a cell whose time of writing, ${at}, is in the future: a client gave it that time (USING TIMESTAMP), or a clock was wrong. It may be as old as the backup (${readUntil}) and unchanged since; if not, the backup’s would lose against it`,
      'Restore with --as-new where such cells are unchanged: they stay, and the comparison at the end names those that differ. Or TRUNCATE the table first, which takes all of its rows; or restore into a new keyspace (--into NAME) and copy from there.',
    );
  }
  return permanent(
    'RESTORE_TARGET_NEWER',
    `Table ${table} holds data that was written at ${at}, after the backup was read (${readUntil})`,
    'Restore into a new keyspace (--into NAME) and copy from there; or have the backup’s rows take the place of newer ones (--as-new).',
  );
}
