import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { openPageFile } from '../../../repository/cql-pages.ts';
import { textOf } from '../../../repository/zstd-frames.ts';
import { fetchObject } from '../../data-objects.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { quoteTable } from '../identifiers.ts';
import { rowsOf } from '../rows.ts';
import type { TableSchema } from '../schema.ts';
import { type CqlSession, withSession } from '../session.ts';
import { CounterTable } from './counters.ts';
import { destinationOf, type KeyspaceJob, loadTasks, type RestoreJob, restoreJob } from './job.ts';
import { Journal, type LoadedRows, objectItem } from './journal.ts';
import { clearLists, listColumns } from './lists.ts';
import { RowStatementBuilder, type WritingRules } from './statements.ts';
import { Writer, type WriterOptions, writeOnce } from './writer.ts';

/** Loads the objects of one task; each is noted as begun before its first row and as loaded after its last. */
export async function load(
  context: RestoreContext,
  task: number,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const job = await restoreJob(context);
  const objects = (await loadTasks(job))[task];
  const [first] = objects ?? [];
  if (objects === undefined || first === undefined) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `The restore has no load task ${task}`,
      'Start the restore again.',
    );
  }
  return await whileBeating(context, (tell) =>
    withSession(context, job.target, job.source, async (session) => {
      let rows = 0;
      let bytes = 0;
      let next = fetchObject(job.context, first);
      for (const [index, object] of objects.entries()) {
        const body = await next;
        const following = objects[index + 1];
        if (following !== undefined) next = fetchObject(job.context, following);
        await loadObject(job, session, object, body, (written) => tell({ task, rows: rows + written }));
        rows += object.rows;
        bytes += object.bytes;
      }
      return { rows, bytes };
    }),
  );
}

async function loadObject(
  job: RestoreJob,
  session: CqlSession,
  object: DataObject,
  body: Uint8Array,
  tell: (rows: number) => void,
): Promise<void> {
  const { keyspace, table } = destinationOf(job, object);
  const { signal, log } = job.context;
  const journal = new Journal(session, keyspace.to, signal);
  const noted = await journal.get(objectItem(object.key));
  if (noted !== undefined && noted !== BEGUN) return;
  if (noted === undefined) await journal.set(objectItem(object.key), BEGUN);
  const options: WriterOptions = {
    doing: `load ${object.key} into ${quoteTable(keyspace.to, table.name)}`,
    signal,
    log,
  };
  const load: Load = { job, session, keyspace, table, body, untouched: noted === undefined, options, tell };
  const loaded = table.isCounter ? await loadCounters(load) : await loadRows(load);
  if (loaded.rows + loaded.expired !== object.rows) {
    throw permanent(
      'RESTORE_ROW_COUNT',
      `Failed to ${options.doing}: ${loaded.rows + loaded.expired} rows were in it, the manifest says ${object.rows}`,
      'The backup is not what the manifest describes: verify it, then restore another one.',
    );
  }
  await journal.set(objectItem(object.key), JSON.stringify(loaded));
}

const BEGUN = 'begun';

interface Load {
  readonly job: RestoreJob;
  readonly session: CqlSession;
  readonly keyspace: KeyspaceJob;
  readonly table: TableSchema;
  readonly body: Uint8Array;
  /** No earlier attempt has begun to write these rows. */
  readonly untouched: boolean;
  readonly options: WriterOptions;
  readonly tell: (rows: number) => void;
}

/** How a table's rows are written to this target. */
export function writingRules(job: RestoreJob, session: CqlSession, table: TableSchema): WritingRules {
  const { writeTimes } = job.source;
  if (session.server.product === 'cassandra') return { writeTimes: writeTimes !== 'none', ttls: true };
  // There a time of writing costs a read for each write, so it is kept only when it is asked for; TTLs and transactions exclude each other.
  return { writeTimes: writeTimes === 'always', ttls: table.yugabyte?.transactions !== true };
}

async function loadRows({
  job,
  session,
  keyspace,
  table,
  body,
  untouched,
  options,
  tell,
}: Load): Promise<LoadedRows> {
  const { header, pages } = await openPageFile(textOf(body));
  const rules = writingRules(job, session, table);
  const builder = new RowStatementBuilder(header, keyspace.to, rules, keyspace.schema.types);
  const lists = { statics: listColumns(table, 'statics'), regulars: listColumns(table, 'regulars') };
  const hasLists = lists.statics.length + lists.regulars.length > 0;
  const writer = new Writer(session, options);
  let [rows, expired, expiring] = [0, 0, 0];
  try {
    for await (const page of pages) {
      for (const cells of rowsOf(page, builder.width)) {
        const statements = builder.statementsOf(cells, page.readAtMs, Date.now());
        if (statements.expired) {
          expired += 1;
          continue;
        }
        rows += 1;
        if (statements.expires) expiring += 1;
        if (!hasLists) {
          await writer.add(statements.first);
          continue;
        }
        const key = builder.keyOf(cells);
        await writer.alone(async () => {
          const clear = async () => {
            const rule = { ...options, writeTimes: rules.writeTimes };
            const partition = key.slice(0, table.partitionKey.length);
            if (statements.writesStatics)
              await clearLists(session, keyspace.to, table, lists.statics, partition, rule);
            if (key.every((cell) => cell !== null))
              await clearLists(session, keyspace.to, table, lists.regulars, key, rule);
            return statements.first;
          };
          if (!untouched) await clear();
          await writeOnce(session, statements.first, 'once', clear, options);
          for (const statement of statements.after) {
            await writeOnce(session, [statement], 'once', async () => [statement], options);
          }
        });
      }
      await session.limit.pay(page.rows, options.signal);
      tell(rows);
    }
    await writer.finish();
    return { rows, expired, expiring };
  } finally {
    await writer.abandon();
  }
}

async function loadCounters({
  session,
  keyspace,
  body,
  untouched,
  options,
  tell,
}: Load): Promise<LoadedRows> {
  const { header, pages } = await openPageFile(textOf(body));
  const counters = new CounterTable(session, header, keyspace.to);
  const writer = new Writer(session, options);
  let rows = 0;
  try {
    for await (const page of pages) {
      for (const cells of rowsOf(page, header.columns.length)) {
        const row = counters.rowOf(cells);
        const write = () => counters.write(row, untouched, options);
        // Two rows of a partition must not both find its static counters missing.
        await (counters.hasStatics ? write() : writer.alone(write));
        rows += 1;
      }
      await session.limit.pay(page.rows, options.signal);
      tell(rows);
    }
    await writer.finish();
    return { rows, expired: 0, expiring: 0 };
  } finally {
    await writer.abandon();
  }
}
