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

/** A restore's context, with the id under which its record is stored. */
type SealedContext = BackupContext & { readonly request: { readonly restore: string } };

/** Reads the record of this restore; undefined when the restore has not ended yet. A scratch restore has none. */
export async function recordOf(context: SealedContext): Promise<RestoreRecord | undefined> {
  const { store, ref, request, signal } = context;
  return await findRestoreRecord(store, { plan: ref.plan, restore: request.restore }, { signal });
}

/** What a restore's record says about its course and result. */
export interface SealOptions {
  readonly replace: boolean;
  /** Final names of the databases that this restore created. The others existed, empty, before. */
  readonly created: readonly string[];
  /** What was compared, as a clause, and what could not be (`notes`, `unclear`). It is recorded because another worker may finish the restore. */
  readonly compared?: string;
  readonly notes?: readonly string[];
  readonly unclear?: boolean;
  /** What was restored and what was not. */
  readonly result?: RestoreRecord['result'];
}

/** Seals the restore: from here on only names change. Returns the record that is stored. */
export async function seal(
  context: SealedContext,
  job: NamedDatabases,
  options: SealOptions,
): Promise<RestoreRecord> {
  const { store, signal } = context;
  return await sealRestore(store, await draftRecord(context, job, options), { signal });
}

/** Returns the record that would seal the restore now, without writing it. */
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
 * Refuses a restore that has ended before, which happens when Temporal was put back to an older state. Running it again would undo
 * what was written since then. Throws `RESTORE_ENDED_BEFORE` (permanent), which lists the databases and their names.
 */
export async function refuseIfSealed(context: SealedContext, job: NamedDatabases): Promise<void> {
  const record = await recordOf(context);
  if (record !== undefined) throw endedBefore(record, await describeDatabases(record, job));
}

/**
 * Explains `RESTORE_NOT_OURS`. If this restore has ended, its databases are no longer its own, and the result is
 * `RESTORE_ENDED_BEFORE`; else it is the error itself.
 */
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
 * Finishes a restore that was sealed but did not exchange its names. The database that was there before gets its name back and is
 * opened. The restored database is complete, so it stays. Returns one sentence for each database.
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

/** Describes which database has which name now, one sentence for each database of the record. */
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
