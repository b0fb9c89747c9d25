import type { BackupRef } from '../model/backup.ts';
import { type Check, check } from '../model/check.ts';
import { SCHEMA_TRIAL_AT_MOST_MS } from '../model/doctor.ts';
import { rowSource } from '../model/engine-kind.ts';
import { permanent, transient } from '../model/errors.ts';
import { describeLeftOut } from '../model/left-out-text.ts';
import type { RepositorySpec, Source } from '../model/pipeline.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { openStore } from '../repository/open.ts';
import type { RestoreEngine, VerbContext } from './engine.ts';
import { engineOf } from './registry.ts';
import { withRestoreContext } from './restore-context.ts';

interface SchemaTrial {
  readonly repository: RepositorySpec;
  readonly plan: string;
  readonly source: Source;
  /** Name of the trial, part of the scratch databases' names: lower-case letters, digits and `_`. */
  readonly restore: string;
  /** Runs `read` so that the backup isn't deleted meanwhile. */
  readonly reading: (ref: BackupRef, read: () => Promise<string>) => Promise<string>;
  /** Limit of the trial, in milliseconds. Tests set a shorter one. */
  readonly atMostMs?: number;
}

/**
 * Checks that the source's server accepts the schema of the plan's newest backup: creates it in scratch databases and drops them again. Returns
 * nothing if there is no backup, or no schema that the engine can try.
 */
export async function checkNewestSchema(verb: VerbContext, trial: SchemaTrial): Promise<readonly Check[]> {
  const { repository, plan, reading } = trial;
  const trySchema = await trialOf(trial.source);
  if (trySchema === undefined) return [];
  let backup: string | undefined;
  const newest = await check('newest backup', async () => {
    backup = await newestBackup(verb, repository, plan);
    return backup ?? 'none yet';
  });
  verb.signal.throwIfAborted();
  // Without a backup there is nothing to try. If the backups can't be listed, that is reported here.
  if (backup === undefined) return newest.ok ? [] : [newest];
  const ref = { repository, plan, backup };
  const found = await check('schema can be restored', () =>
    reading(ref, () => tryIn(verb, trial, ref, trySchema)),
  );
  verb.signal.throwIfAborted();
  return [found];
}

type Attempt = (
  verb: VerbContext,
  ref: BackupRef,
  restore: string,
) => ReturnType<NonNullable<RestoreEngine['trySchema']>>;

/** How a source's engine tries a schema; undefined if it can't, or if backups of the source hold no schema. */
async function trialOf(source: Source): Promise<Attempt | undefined> {
  const rows = rowSource(source);
  if (rows === undefined || rows.contents === 'data') return undefined;
  const { trySchema } = (await engineOf(rows)).restore;
  if (trySchema === undefined) return undefined;
  return (verb, ref, restore) =>
    withRestoreContext(
      verb,
      ref,
      rows,
      { restore, contents: 'schema', scratch: true, tolerate: true },
      trySchema,
    );
}

/** @throws HoldfastError `SCHEMA_REFUSED` (permanent), `SCHEMA_NOT_TRIED` (transient) if the limit was too short */
async function tryIn(
  verb: VerbContext,
  { restore, atMostMs = SCHEMA_TRIAL_AT_MOST_MS }: SchemaTrial,
  ref: BackupRef,
  attempt: Attempt,
): Promise<string> {
  const { backup } = ref;
  const late = AbortSignal.timeout(atMostMs);
  const bounded = { ...verb, signal: AbortSignal.any([verb.signal, late]) };
  const { leftOut = [] } = await attempt(bounded, ref, restore).catch((error: unknown) => {
    if (!late.aborted || verb.signal.aborted) throw error;
    throw transient(
      'SCHEMA_NOT_TRIED',
      `whether the schema of ${backup} can be created here is not known: the trial was given up after ${atMostMs / 1000} s`,
      'holdfast verify PLAN --level schema takes the time that it needs.',
      error,
    );
  });
  if (leftOut.length === 0) return `the schema of ${backup} can be created here, whole`;
  throw permanent(
    'SCHEMA_REFUSED',
    `of the schema of ${backup}, this server refuses ${leftOut.length}: ${leftOut.slice(0, 10).map(describeLeftOut).join('; ')}`,
    'Mend what is named; until then restore with --tolerate. holdfast verify --level schema lists all of it.',
  );
}

async function newestBackup(
  verb: VerbContext,
  repository: RepositorySpec,
  plan: string,
): Promise<string | undefined> {
  const store = await openStore(repository, verb.secret);
  try {
    const { entries } = await readCatalogue(store, repository, plan, { signal: verb.signal });
    return entries[0]?.backup;
  } finally {
    await store.close();
  }
}
