import { formatAmount } from '../../../model/amounts.ts';
import type { DataObject } from '../../../model/backup.ts';
import { unreadIn } from '../../../model/manifest.ts';
import type { RestoreContext, RestoreOutcome } from '../../engine.ts';
import { withSession } from '../shared-session.ts';
import { checkKeyspace, comparesContent } from './check.ts';
import { isRequest } from './claim.ts';
import { compareDefinitions } from './definitions.ts';
import { type KeyspaceJob, type RestoreJob, restoreJob, selectedObjects } from './job.ts';
import { Journal, type LoadedRows, objectItem } from './journal.ts';
import { loadObjects } from './load.ts';

/**
 * Corrects counters, compares with the manifest, and drops the journals if nothing differs. Otherwise everything stays, including the journals. If
 * a journal is gone, an earlier attempt of this step found no difference there.
 */
export async function finish(context: RestoreContext): Promise<RestoreOutcome> {
  const job = await restoreJob(context);
  let written: number | undefined;
  const objects = await selectedObjects(job);
  const problems = await withSession(context, job.target, job.source, async (session) => {
    const found: string[] = [];
    const journals = job.keyspaces.map((keyspace) => Journal.of(session, keyspace, context.signal));
    for (const [index, keyspace] of job.keyspaces.entries()) {
      const journal = journals[index];
      const before = await journal?.find();
      if (before === undefined) continue;
      await loadForgotten(job, keyspace, objects, before, (rows) => context.heartbeat({ rows }));
      const noted = (await journal?.find()) ?? before;
      found.push(...(await checkKeyspace(job, keyspace, session, noted)));
      if (job.withSchema) found.push(...(await compareDefinitions(job, keyspace, session)));
      written = (written ?? 0) + rowsWritten(noted);
    }
    // The journals of a scratch restore stay: `discard` drops its keyspaces by what they say.
    if (found.length === 0 && !context.request.scratch) {
      for (const journal of journals) await journal.drop();
    }
    return found;
  });
  return {
    databases: job.keyspaces.map(({ schema, to }) => ({ from: schema.keyspace, to })),
    // If an earlier attempt dropped the journals, the backup's rows count, some of which may have expired.
    rows: written ?? objects.reduce((sum, { rows }) => sum + rows, 0),
    tables: job.keyspaces.reduce((sum, { tables }) => sum + tables.length, 0),
    compared: whatWasCompared(job),
    problems: [
      ...problems,
      ...(job.withSchema || problems.length === 0 ? [] : [hintAt(job)]),
      // A scratch restore must report everything that the backup lacks.
      ...(context.request.scratch ? unreadIn(context.manifest) : []),
    ],
  };
}

/**
 * Loads the objects of a keyspace that are not noted as loaded although their tasks have ended. A node that died may have lost the last notes, and
 * rows of these objects with them.
 */
async function loadForgotten(
  job: RestoreJob,
  { schema }: KeyspaceJob,
  objects: readonly DataObject[],
  noted: ReadonlyMap<string, string>,
  report: (rows: number) => void,
): Promise<void> {
  const forgotten = objects.filter(({ key, table }) => {
    const note = noted.get(objectItem(key));
    return table.database === schema.keyspace && (note === undefined || isRequest(note));
  });
  if (forgotten.length === 0) return;
  job.context.log('objects whose loading is not noted are loaded again', { objects: forgotten.length });
  await loadObjects(job, forgotten, report);
}

/** Sum of the rows that the notes of all objects say were written; expired ones don't count. */
function rowsWritten(noted: ReadonlyMap<string, string>): number {
  let rows = 0;
  for (const [item, note] of noted) {
    if (item.startsWith('object ') && !isRequest(note)) rows += (JSON.parse(note) as LoadedRows).rows;
  }
  return rows;
}

function whatWasCompared(job: RestoreJob): string {
  const tables = job.keyspaces.reduce((sum, keyspace) => sum + keyspace.tables.length, 0);
  const definitions = job.withSchema ? ['definitions'] : [];
  const data = !job.withData ? [] : comparesContent(job) ? ['every cell of the backup'] : ['numbers of rows'];
  const unread = job.withData ? unreadIn(job.context.manifest).length : 0;
  const lacks =
    unread === 0 ? '' : `; the backup lacks what could not be read at ${formatAmount(unread, 'place')}`;
  return `${[...definitions, ...data].join(' and ')} of ${formatAmount(tables, 'table')}${lacks}`;
}

function hintAt({ context: { request } }: RestoreJob): string {
  return request.asNew === true
    ? 'what differs was written by others meanwhile, or is hidden by a deletion with a time in the future'
    : 'rows that are missing may be hidden by newer deletions: with --as-new the backup’s rows are written over them';
}
