import type { DataObject } from '../../../model/backup.ts';
import { defined } from '../../../model/defined.ts';
import {
  type CqlPageColumn,
  type CqlPageHeader,
  openPageFile,
} from '../../../repository/backups/cql-pages.ts';
import { readData } from '../../../repository/backups/data-pieces.ts';
import { textOf } from '../../../repository/backups/zstd-frames.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import { freeIfAlone, freeMemory } from '../../../repository/free-memory.ts';
import { BUCKETS, rangeBounds, selectStatement } from '../dialect.ts';
import { quoteName } from '../identifiers.ts';
import { planReading, ttlOf, writeTimeOf } from '../reading.ts';
import { RowEnds } from '../row-ends.ts';
import { rowsOf } from '../rows.ts';
import { scan } from '../scan.ts';
import type { TableSchema } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import { Claim, isRequest } from './claim.ts';
import { compareRows, type ReadRow } from './compare.ts';
import { CounterTable } from './counters.ts';
import { type KeyspaceJob, type RestoreJob, selectedObjects } from './job.ts';
import { COUNTERS_ITEM, Journal, objectItem } from './journal.ts';
import { writingRules } from './writing-rules.ts';

const DIFFERENCES_NAMED = 20;
/** A TTL counts from the moment of writing, and an outage may delay a write. */
const TTL_TOLERANCE_SECONDS = 300;

/** Compares a restored keyspace with the manifest, or row by row with the backup. Returns each difference, named. */
export async function checkKeyspace(
  job: RestoreJob,
  keyspace: KeyspaceJob,
  session: CqlSession,
  noted: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  if (!job.withData) return [];
  const objects = await selectedObjects(job);
  const own = objects.filter(({ table }) => table.database === keyspace.schema.keyspace);
  const missing = own.filter(({ key }) => {
    const note = noted.get(objectItem(key));
    return note === undefined || isRequest(note);
  });
  const differences = missing.map(({ key }) => `${key} was not loaded`);
  const claim = await claimCounters(job, keyspace, session);
  await forEachBounded(keyspace.tables, job.context.request.parallelism, async (table) => {
    const ofTable = own.filter((object) => object.table.table === table.name);
    // A worker that was taken for dead may have counted twice. Now nobody writes any more.
    if (table.isCounter) await settleCounters(job, keyspace, table, session, ofTable, claim);
    differences.push(...(await checkTable(job, keyspace, table, session, ofTable)));
  });
  return differences;
}

/** Takes the claim by which only one of two attempts at this step may write counters. */
async function claimCounters(
  { context }: RestoreJob,
  keyspace: KeyspaceJob,
  session: CqlSession,
): Promise<Claim | undefined> {
  if (!keyspace.tables.some(({ isCounter }) => isCounter)) return undefined;
  const { signal } = context;
  const claim = await Claim.take(Journal.of(session, keyspace, signal), COUNTERS_ITEM, signal);
  await claim?.outwait();
  return claim;
}

async function checkTable(
  job: RestoreJob,
  keyspace: KeyspaceJob,
  table: TableSchema,
  session: CqlSession,
  objects: readonly DataObject[],
): Promise<readonly string[]> {
  if (comparesContent(job) || table.isCounter) {
    return await checkContent(job, keyspace, table, session, objects);
  }
  const listed = keyspace.manifest.tables.find((one) => one.table === table.name);
  if (listed === undefined) return [`${keyspace.to}.${table.name} is not in the manifest`];
  const rows = await countRows(job, keyspace, table, session);
  if (rows === listed.rows) return [];
  // Too few rows may be right, since rows may have expired. Which rows are missing decides that, not how many.
  const differences = await checkContent(job, keyspace, table, session, objects);
  const name = `${keyspace.to}.${table.name}`;
  return differences.length === 0
    ? []
    : [`${name} has ${rows} rows, the manifest says ${listed.rows}`, ...differences];
}

/** Whether rows are compared one by one. Rows that go into tables with other rows can't be checked by counting. */
export function comparesContent({ context: { request }, withSchema }: RestoreJob): boolean {
  return request.check === 'content' || !withSchema;
}

async function countRows(
  job: RestoreJob,
  keyspace: KeyspaceJob,
  table: TableSchema,
  session: CqlSession,
): Promise<number> {
  const selectors = table.partitionKey.slice(0, 1).map((one) => quoteName(one.name));
  let rows = 0;
  for await (const page of scanAll(job, session, keyspace, table, selectors)) rows += page.rows;
  return rows;
}

async function checkContent(
  job: RestoreJob,
  keyspace: KeyspaceJob,
  table: TableSchema,
  session: CqlSession,
  objects: readonly DataObject[],
): Promise<readonly string[]> {
  const name = `${keyspace.to}.${table.name}`;
  const { signal } = job.context;
  const planned = (await planReading(session, keyspace.to, table, job.source.writeTimes, signal)).selectors;
  const selectorOf = ({ kind, name: column }: CqlPageColumn) =>
    kind === 'writetime' ? writeTimeOf(column) : kind === 'ttl' ? ttlOf(column) : quoteName(column);
  const [first] = objects;
  if (first === undefined && !job.withSchema) return [];
  // A table without rows in the backup must have none; reading its keys shows that.
  const header = first === undefined ? undefined : (await openObject(job, first)).header;
  const all = header?.columns ?? keyColumns(table);
  const rules = writingRules(job.source, session.server, table, job.context.request);
  // Columns that were not written back, or that this server doesn't report, are not compared.
  const kept = all.map(
    (column) =>
      (column.kind === 'writetime' ? rules.writeTimes : column.kind === 'ttl' ? rules.ttls : true) &&
      planned.includes(selectorOf(column)),
  );
  const columns = all.filter((_, index) => kept[index]);
  const selectors = columns.map(selectorOf);
  const actual = async function* (): AsyncGenerator<ReadRow> {
    for await (const page of scanAll(job, session, keyspace, table, selectors)) {
      for (const cells of rowsOf(page, selectors.length)) yield { cells, readAtMs: page.readAtMs };
      // The comparison copies what it keeps of a row.
      if (page.ownsMemory) freeMemory(page.body.buffer);
    }
  };
  const ends = new RowEnds(all, rules);
  const expected = async function* (): AsyncGenerator<ReadRow> {
    for await (const { cells, readAtMs } of storedRows(job, objects)) {
      const cell = (at: number) => cells[at] ?? null;
      const [endsAtMs, staticsEndAtMs] = [ends.endOf(cell, readAtMs), ends.endOfStatics(cell, readAtMs)];
      yield { readAtMs, endsAtMs, staticsEndAtMs, cells: cells.filter((_, index) => kept[index]) };
    }
  };
  const { differences } = await compareRows(expected(), actual(), {
    columns,
    table: name,
    most: DIFFERENCES_NAMED,
    ttlToleranceSeconds: TTL_TOLERANCE_SECONDS,
    othersAllowed: !job.withSchema,
  });
  return differences;
}

function keyColumns(table: TableSchema): readonly CqlPageColumn[] {
  return [
    ...table.partitionKey.map(({ name, type }) => ({ name, type, kind: 'partition_key' as const })),
    ...table.clustering.map(({ name, type }) => ({ name, type, kind: 'clustering' as const })),
  ];
}

async function settleCounters(
  job: RestoreJob,
  keyspace: KeyspaceJob,
  table: TableSchema,
  session: CqlSession,
  objects: readonly DataObject[],
  claim: Claim | undefined,
): Promise<void> {
  const [first] = objects;
  if (first === undefined) return;
  const { header } = await openObject(job, first);
  const counters = new CounterTable(session, header, keyspace.to);
  const { signal, log } = job.context;
  const doing = `settle the counters of ${keyspace.to}.${table.name}`;
  const options = { doing, keyspace: keyspace.to, signal, log, ...defined({ claim }) };
  for await (const { cells } of storedRows(job, objects)) {
    if (await counters.settle(counters.rowOf(cells), options))
      log('a counter was put right', { table: table.name });
  }
}

async function* storedRows(job: RestoreJob, objects: readonly DataObject[]): AsyncGenerator<ReadRow> {
  // Sorted by key, which is the order of the ring: chunks and their parts are numbered in it.
  for (const object of [...objects].sort((one, other) => (one.key < other.key ? -1 : 1))) {
    const { header, pages } = await openObject(job, object);
    for await (const page of pages) {
      for (const cells of rowsOf(page, header.columns.length)) yield { cells, readAtMs: page.readAtMs };
      // Before it asks for the next row, the caller is done with this one, or has copied it.
      freeIfAlone(page.body);
    }
  }
}

async function openObject(
  job: RestoreJob,
  object: DataObject,
): Promise<{
  readonly header: CqlPageHeader;
  readonly pages: Awaited<ReturnType<typeof openPageFile>>['pages'];
}> {
  const { store, folder, signal } = job.context;
  const body = await readData(store, folder, object, { signal });
  return await openPageFile(textOf(body));
}

function scanAll(
  job: RestoreJob,
  session: CqlSession,
  keyspace: KeyspaceJob,
  table: TableSchema,
  selectors: readonly string[],
) {
  const { product } = session.server;
  return scan(session, {
    statement: selectStatement(product, keyspace.to, table, selectors),
    params: rangeBounds(product, 0, BUCKETS - 1),
    pageRows: job.source.load.pageRows,
    doing: `read back ${keyspace.to}.${table.name}`,
    signal: job.context.signal,
    log: job.context.log,
  });
}
