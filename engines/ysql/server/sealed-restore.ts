import { defined } from '../../../model/defined.ts';
import { HoldfastError, permanent } from '../../../model/errors.ts';
import {
  findRestoreRecord,
  type RecordedDatabase,
  type RestoreRecord,
  sealRestore,
} from '../../../repository/restore-records.ts';
import type { BackupContext } from '../../engine.ts';
import { giveNameBack } from './exchange-names.ts';
import {
  databaseExists,
  type NamedDatabases,
  openToSessions,
  withMaintenanceSession,
} from './maintenance.ts';

/** A restore as its record names it. */
type SealedContext = BackupContext & { readonly request: { readonly restore: string } };

/** The record of this restore; undefined where it has not come to its end. A scratch restore has none. */
export async function recordOf(context: SealedContext): Promise<RestoreRecord | undefined> {
  const { store, ref, request, signal } = context;
  return await findRestoreRecord(store, { plan: ref.plan, restore: request.restore }, { signal });
}

export interface SealOptions {
  readonly replace: boolean;
  /** Final names of the databases that this restore created, as against those that were there, empty, before. */
  readonly created: readonly string[];
  /** What was compared, in a clause, and what could not be: whoever ends the restore may not be who compared. */
  readonly compared?: string;
  readonly notes?: readonly string[];
  readonly unclear?: boolean;
  /** What came back and what didn't. */
  readonly result?: RestoreRecord['result'];
}

/** Seals the restore: from here on only names change. Returns what holds. */
export async function seal(
  context: SealedContext,
  job: NamedDatabases,
  options: SealOptions,
): Promise<RestoreRecord> {
  const { store, signal } = context;
  return await sealRestore(store, await draftRecord(context, job, options), { signal });
}

/** The record that would seal the restore now; nothing is written. */
export async function draftRecord(
  { ref, request }: Pick<SealedContext, 'ref' | 'request'>,
  job: NamedDatabases,
  { replace, created, compared, notes = [], unclear = false, result }: SealOptions,
): Promise<RestoreRecord> {
  const databases: RecordedDatabase[] = await withMaintenanceSession(job, async (session) => {
    const recorded: RecordedDatabase[] = [];
    for (const { names } of job.databases) {
      const { from, to, working, kept } = names;
      const isThere = replace && (await databaseExists(session, to));
      recorded.push({
        ...(isThere ? { kept } : {}),
        from,
        to,
        working,
        created: created.includes(to),
      });
    }
    return recorded;
  });
  return {
    plan: ref.plan,
    backup: ref.backup,
    restore: request.restore,
    sealedAt: new Date().toISOString(),
    databases,
    ...defined({ compared }),
    ...(notes.length === 0 ? {} : { notes }),
    ...(unclear ? { unclear } : {}),
    ...defined({ result }),
  };
}

/**
 * Refuses a restore that has come to its end before: Temporal was put back to an older state, say. To run it again would undo what
 * was written since. Throws `RESTORE_ENDED_BEFORE` (permanent), which says what stands under which name.
 */
export async function refuseIfSealed(context: SealedContext, job: NamedDatabases): Promise<void> {
  const record = await recordOf(context);
  if (record !== undefined) throw endedBefore(record, await describeDatabases(record, job));
}

/** Tells a database that is not ours any more because the restore has ended from one that never was. */
export async function explainNotOurs(
  context: SealedContext,
  job: NamedDatabases,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof HoldfastError) || error.code !== 'RESTORE_NOT_OURS') return error;
  const record = await recordOf(context);
  return record === undefined ? error : endedBefore(record, await describeDatabases(record, job), error);
}

function endedBefore(record: RestoreRecord, stands: readonly string[], cause?: unknown): Error {
  return permanent(
    'RESTORE_ENDED_BEFORE',
    `Restore ${record.restore} came to its end at ${record.sealedAt} and is not run again: ${stands.join(' ')}`,
    'Nothing was changed now. To restore once more, ask for a new restore.',
    cause,
  );
}

/**
 * Brings a restore that was sealed but did not exchange its names to rest: the database that is there is open and has its name. The
 * restored one is complete, so it stays. Returns what stands, a sentence for each database.
 */
export async function leaveSealed(record: RestoreRecord, job: NamedDatabases): Promise<readonly string[]> {
  await withMaintenanceSession(job, async (session) => {
    for (const { names } of job.databases) {
      if (!(await databaseExists(session, names.working))) continue;
      await giveNameBack(session, names);
      if (await databaseExists(session, names.to)) await openToSessions(session, names.to);
    }
  });
  return await describeDatabases(record, job);
}

/** What stands under which name now, a sentence for each database of the record. */
async function describeDatabases(record: RestoreRecord, job: NamedDatabases): Promise<readonly string[]> {
  return await withMaintenanceSession(job, async (session) => {
    const sentences: string[] = [];
    for (const { from, to, working, kept } of record.databases) {
      const keptNow = kept !== undefined && (await databaseExists(session, kept));
      const was = keptNow ? ` What was there before is "${kept}".` : '';
      if (!(await databaseExists(session, working)) || working === to) {
        sentences.push(`Database "${to}" is the restored "${from}".${was}`);
      } else if (await databaseExists(session, to)) {
        sentences.push(
          `Database "${to}" is as it was. The restored "${from}" is complete and stands beside it as "${working}".`,
        );
      } else {
        sentences.push(
          `The restored "${from}" is complete and stands as "${working}"; no database has the name "${to}".${was}`,
        );
      }
    }
    return sentences;
  });
}
