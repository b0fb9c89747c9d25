import { permanent } from '../../../model/errors.ts';
import { openPageFile } from '../../../repository/cql-pages.ts';
import { freeMemory, isAlone } from '../../../repository/free-memory.ts';
import { textOf } from '../../../repository/zstd-frames.ts';
import type { LaneContext } from '../../lanes/serve.ts';
import { quoteTable } from '../identifiers.ts';
import { CounterTable } from '../restore/counters.ts';
import { Journal, type LoadedRows, objectItem } from '../restore/journal.ts';
import { clearLists, listColumns } from '../restore/lists.ts';
import { RowStatementBuilder } from '../restore/statements.ts';
import { Writer, type WriterOptions, writeOnce } from '../restore/writer.ts';
import { writingRules } from '../restore/writing-rules.ts';
import { RowWalk, rowsOf } from '../rows.ts';
import { type CqlSession, withSession } from '../session.ts';
import type { LoadJob } from './jobs.ts';

/** Writes an object's rows unless it is noted as loaded; notes it as begun before the first and as loaded after the last. */
export async function loadObject(job: LoadJob, lane: LaneContext): Promise<void> {
  await withSession(lane, job.target, job.source, (session) => loadOver(session, job, lane), job.limit);
}

async function loadOver(session: CqlSession, job: LoadJob, lane: LaneContext): Promise<void> {
  const { object, into, table } = job;
  const { signal, log } = lane;
  const journal = new Journal(session, into, signal);
  const noted = await journal.get(objectItem(object.key));
  if (noted !== undefined && noted !== BEGUN) return;
  if (noted === undefined) await journal.set(objectItem(object.key), BEGUN);
  const doing = `load ${object.key} into ${quoteTable(into, table.name)}`;
  const options: WriterOptions = { doing, keyspace: into, signal, log };
  const load: Load = { job, lane, session, untouched: noted === undefined, options };
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
  readonly job: LoadJob;
  readonly lane: LaneContext;
  readonly session: CqlSession;
  /** No earlier attempt has begun to write these rows. */
  readonly untouched: boolean;
  readonly options: WriterOptions;
}

async function loadRows({ job, lane, session, untouched, options }: Load): Promise<LoadedRows> {
  const { into, table } = job;
  const { header, pages } = await openPageFile(textOf(job.body));
  const rules = writingRules(job.source, session.server, table);
  const builder = new RowStatementBuilder(header, into, rules, job.types);
  const lists = { statics: listColumns(table, 'statics'), regulars: listColumns(table, 'regulars') };
  const hasLists = lists.statics.length + lists.regulars.length > 0;
  const writer = new Writer(session, options);
  let [rows, expired, expiring] = [0, 0, 0];
  try {
    for await (const page of pages) {
      const row = new RowWalk(page, builder.width);
      while (row.next()) {
        const statements = builder.statementsOf(row, page.readAtMs, Date.now());
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
        const key = builder.keyOf(row);
        await writer.alone(async () => {
          const clear = async () => {
            const rule = { ...options, writeTimes: rules.writeTimes };
            const partition = key.slice(0, table.partitionKey.length);
            if (statements.writesStatics)
              await clearLists(session, into, table, lists.statics, partition, rule);
            if (key.every((cell) => cell !== null))
              await clearLists(session, into, table, lists.regulars, key, rule);
            return statements.first;
          };
          if (!untouched) await clear();
          await writeOnce(session, statements.first, 'once', clear, options);
          for (const statement of statements.after) {
            await writeOnce(session, [statement], 'once', async () => [statement], options);
          }
        });
      }
      await writer.cut(() => {
        if (isAlone(page.body)) freeMemory(page.body.buffer);
      });
      await session.limit.pay(page.rows, options.signal);
      lane.progress(rows);
    }
    await writer.finish();
    return { rows, expired, expiring };
  } finally {
    await writer.abandon();
  }
}

async function loadCounters({ job, lane, session, untouched, options }: Load): Promise<LoadedRows> {
  const { header, pages } = await openPageFile(textOf(job.body));
  const counters = new CounterTable(session, header, job.into);
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
      lane.progress(rows);
    }
    await writer.finish();
    return { rows, expired: 0, expiring: 0 };
  } finally {
    await writer.abandon();
  }
}
