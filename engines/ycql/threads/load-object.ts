import { permanent, transient } from '../../../model/errors.ts';
import { openPageFile } from '../../../repository/backups/cql-pages.ts';
import { textOf } from '../../../repository/backups/zstd-frames.ts';
import { freeIfAlone } from '../../../repository/free-memory.ts';
import type { ThreadContext } from '../../threads/serve.ts';
import { quoteTable } from '../identifiers.ts';
import { Claim } from '../restore/claim.ts';
import { CounterTable } from '../restore/counters.ts';
import { Journal, type LoadedRows, objectItem } from '../restore/journal.ts';
import { RowStatementBuilder, type RowStatements } from '../restore/statements.ts';
import { Writer, type WriterOptions, writeInOrder, writeLists } from '../restore/writer.ts';
import { writingRules } from '../restore/writing-rules.ts';
import { RowWalk, rowsOf } from '../rows.ts';
import type { CqlSession } from '../session.ts';
import { withSession } from '../shared-session.ts';
import type { LoadJob } from './jobs.ts';

/**
 * Writes an object's rows unless it is noted as loaded. Notes it as begun before the first row, and as loaded after the last. Throws
 * `RESTORE_ROW_COUNT` (permanent), `RESTORE_SUPERSEDED`, `RESTORE_UNSETTLED` (transient), and as `cqlError`.
 */
export async function loadObject(job: LoadJob, thread: ThreadContext): Promise<void> {
  await withSession(thread, job.target, job.source, (session) => loadOver(session, job, thread), job.limit);
}

async function loadOver(session: CqlSession, job: LoadJob, thread: ThreadContext): Promise<void> {
  const { object, into, table } = job;
  const { signal, log } = thread;
  const journal = new Journal(session, into, signal, job.journal);
  const claim = await Claim.take(journal, objectItem(object.key), signal);
  if (claim === undefined) return;
  const doing = `load ${object.key} into ${quoteTable(into, table.name)}`;
  const options = { doing, keyspace: into, signal, claim, log };
  const load: Load = { job, thread, session, claim, options, isFirst: claim.isFirst };
  const loaded = await untilTrusted(load, (pass) => (table.isCounter ? loadCounters(pass) : loadRows(pass)));
  if (loaded.rows + loaded.expired !== object.rows) {
    throw permanent(
      'RESTORE_ROW_COUNT',
      `Failed to ${doing}: ${loaded.rows + loaded.expired} rows were in it, the manifest says ${object.rows}`,
      'The backup is not what the manifest describes: verify it, then restore another one.',
    );
  }
  await claim.end(JSON.stringify(loaded));
}

interface Load {
  readonly job: LoadJob;
  readonly thread: ThreadContext;
  readonly session: CqlSession;
  readonly claim: Claim;
  readonly options: WriterOptions;
  /** Nothing of the object has been written before. */
  readonly isFirst: boolean;
}

/** If nodes go away in each of so many passes, the outage counts as lasting. */
const PASSES = 5;

/**
 * Writes the object, and repeats that as long as a node went away meanwhile: the node may have answered and died before its answers were on its
 * disk. A whole pass without an outage can be trusted. Throws `RESTORE_UNSETTLED` (transient) if there is none.
 */
async function untilTrusted(load: Load, write: (pass: Load) => Promise<LoadedRows>): Promise<LoadedRows> {
  const { session, options } = load;
  for (let pass = 1; pass <= PASSES; pass += 1) {
    const before = session.nodes.outages;
    const loaded = await write(pass === 1 ? load : { ...load, isFirst: false });
    if (session.nodes.outages === before) return loaded;
    options.log('a node went away while an object was written; it is written again', {
      doing: options.doing,
      pass,
    });
  }
  throw transient(
    'RESTORE_UNSETTLED',
    `Failed to ${options.doing}: nodes went away in each of ${PASSES} passes`,
    'See how the nodes are; it is tried again.',
  );
}

async function loadRows({ job, thread, session, claim, options, isFirst }: Load): Promise<LoadedRows> {
  const { into, table } = job;
  const { header, pages } = await openPageFile(textOf(job.body));
  const rules = writingRules(job.source, session.server, table, job.wishes);
  const builder = new RowStatementBuilder(header, into, rules, job.types);
  if (builder.hasLists) await claim.outwait();
  const writer = new Writer(session, options);
  let [rows, expired] = [0, 0];
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
        if (statements.clears.length > 0)
          await writer.alone(
            () => writeWithLists(session, statements, isFirst, options),
            statements.statements,
          );
        else if (statements.ordered)
          await writer.alone(
            () => writeInOrder(session, statements.statements, options),
            statements.statements,
          );
        else await writer.add(statements.statements);
      }
      await writer.cut(() => {
        freeIfAlone(page.body);
      });
      await session.nodes.limit.pay(page.rows, options.signal);
      thread.progress(rows);
    }
    await writer.finish();
    return { rows, expired };
  } finally {
    await writer.abandon();
  }
}

async function writeWithLists(
  session: CqlSession,
  { statements, clears }: RowStatements,
  isFirst: boolean,
  options: WriterOptions,
): Promise<void> {
  const clear = () => writeInOrder(session, clears, options);
  if (!isFirst) await clear();
  await writeLists(session, statements, clear, options);
}

async function loadCounters({ job, thread, session, claim, options, isFirst }: Load): Promise<LoadedRows> {
  const { header, pages } = await openPageFile(textOf(job.body));
  await claim.outwait();
  const counters = new CounterTable(session, header, job.into);
  const writer = new Writer(session, options);
  let rows = 0;
  try {
    for await (const page of pages) {
      for (const cells of rowsOf(page, header.columns.length)) {
        const row = counters.rowOf(cells);
        const write = () => counters.write(row, isFirst, options);
        // One after another, so that two rows of a partition don't both find its static counters missing.
        await (counters.hasStatics ? write() : writer.alone(write, []));
        rows += 1;
      }
      await session.nodes.limit.pay(page.rows, options.signal);
      thread.progress(rows);
    }
    await writer.finish();
    return { rows, expired: 0 };
  } finally {
    await writer.abandon();
  }
}
