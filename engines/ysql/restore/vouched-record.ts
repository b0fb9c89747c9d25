import {
  findStoredRestore,
  putRestoreRecord,
  type RestoreRecord,
  restoreRecordDigest,
} from '../../../repository/restore-records.ts';
import { draftRecord, type SealOptions } from '../server/sealed-restore.ts';
import { connectIfThere, readState, setState, withRestoreSession } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/*
 * Anyone who can write to the repository can put a record there that claims that a restore has ended, and what it found. So a restore first stores the
 * record's SHA-256 in the databases under restore, where such a writer can't write. A record counts only if their bookkeeping knows its hash, as long as
 * that bookkeeping exists.
 */

/**
 * Reads the record of this restore. Undefined when the restore has not ended, or when the databases under restore don't know the stored record. Throws
 * `STORE_DAMAGED` (permanent).
 */
export async function vouchedRecord(job: RestoreJob): Promise<RestoreRecord | undefined> {
  const { store, ref, request, signal } = job.context;
  const found = await findStoredRestore(store, { plan: ref.plan, restore: request.restore }, { signal });
  if (found === undefined) return undefined;
  const known: (string | undefined)[] = [];
  for (const database of job.databases) {
    const state = await ownState(job, database);
    // The bookkeeping is dropped only after the restore was sealed, and only by the restore itself.
    if (state === undefined) return found.record;
    known.push(state.sealed);
  }
  return known.every((sha256) => sha256 === found.sha256) ? found.record : undefined;
}

/** Seals the restore: from here on only names change. Returns the record. */
export async function sealVouched(job: RestoreJob, options: SealOptions): Promise<RestoreRecord> {
  const { store, signal } = job.context;
  const record = await draftRecord(job.context, job, options);
  const sha256 = restoreRecordDigest(record);
  for (const database of job.databases) {
    await withRestoreSession(job, database, (session) => setState(session, 'sealed', sha256));
  }
  await putRestoreRecord(store, record, { signal });
  return record;
}

/** Reads this restore's bookkeeping in the database; undefined when it has none any more, or doesn't exist. */
async function ownState({ target, context }: RestoreJob, { names }: DatabaseJob) {
  const session = await connectIfThere({
    target,
    names: [names.working, names.to],
    signal: context.signal,
  });
  if (session === undefined) return undefined;
  try {
    const state = await readState(session);
    return state?.restore === context.request.restore ? state : undefined;
  } finally {
    await session.close();
  }
}
