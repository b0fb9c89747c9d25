import { type DataObject, dataObjectName } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import type { ConnectionTarget } from '../server/connection-url.ts';
import { isNoSuchDatabase } from '../server/errors.ts';
import { connect, type Session } from '../server/session.ts';
import { withPooledSession } from '../server/session-pool.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

const CREATE = `
  CREATE SCHEMA ${BOOKKEEPING_SCHEMA};
  CREATE TABLE ${BOOKKEEPING_SCHEMA}.state (name text PRIMARY KEY, value text NOT NULL);
  CREATE TABLE ${BOOKKEEPING_SCHEMA}.loaded (object text PRIMARY KEY, rows bigint NOT NULL);
  CREATE TABLE ${BOOKKEEPING_SCHEMA}.counted (relation text PRIMARY KEY, rows bigint NOT NULL);
  CREATE TABLE ${BOOKKEEPING_SCHEMA}.applied (unit text PRIMARY KEY);
  CREATE TABLE ${BOOKKEEPING_SCHEMA}.triggers (relation oid, trigger name, enabled "char", PRIMARY KEY (relation, trigger))`;

/** Creates the bookkeeping of restore `id`. */
export async function createBookkeeping(session: Session, id: string): Promise<void> {
  await session.query('create the bookkeeping of the restore', CREATE);
  await setState(session, 'restore', id);
}

/** What the bookkeeping records about the restore as a whole. */
interface RestoreState {
  /** Id of the restore. */
  readonly restore?: string;
  /** Whether the restore created the database, or it existed, empty, before. */
  readonly origin?: 'created' | 'existing';
  /** When pre-data was applied completely. */
  readonly prepared?: string;
  /** When the base was compared with the manifest, before changes were replayed. */
  readonly compared?: string;
  /** A `ReplayReport` as JSON, once the replay has ended. */
  readonly replayed?: string;
  /** SHA-256 of the record that seals the restore (`vouched-record.ts`). */
  readonly sealed?: string;
}

/** Records one fact about the restore; replaces an earlier value. */
export async function setState(session: Session, name: keyof RestoreState, value: string): Promise<void> {
  await session.query(
    'note the state of the restore',
    `INSERT INTO ${BOOKKEEPING_SCHEMA}.state VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    [name, value],
  );
}

/** Reads the bookkeeping in the session's database; undefined when there is none. */
export async function readState(session: Session): Promise<RestoreState | undefined> {
  const [schema] = await session.query<{ there: boolean }>(
    'look for the bookkeeping',
    `SELECT to_regclass('${BOOKKEEPING_SCHEMA}.state') IS NOT NULL AS there`,
  );
  if (schema?.there !== true) return undefined;
  const rows = await session.query<{ name: string; value: string }>(
    'read the state of the restore',
    `SELECT name, value FROM ${BOOKKEEPING_SCHEMA}.state`,
  );
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

/** Drops the bookkeeping, if there is any. */
export async function dropBookkeeping(session: Session): Promise<void> {
  await session.query('drop the bookkeeping', `DROP SCHEMA IF EXISTS ${BOOKKEEPING_SCHEMA} CASCADE`);
}

/**
 * Claims objects in the current transaction. Returns the names (`dataObjectName`) of those that were not loaded before. Waits while another attempt works
 * on one of them, until that attempt has loaded it or given it up. So no row is loaded twice. Attempts at the same objects must name them in the same
 * order.
 */
export async function claimObjects(
  session: Session,
  objects: readonly Pick<DataObject, 'key' | 'at' | 'part' | 'rows'>[],
): Promise<ReadonlySet<string>> {
  const claimed = await session.query<{ object: string }>(
    'note the objects in the bookkeeping',
    `INSERT INTO ${BOOKKEEPING_SCHEMA}.loaded SELECT * FROM unnest($1::text[], $2::bigint[])
     ON CONFLICT DO NOTHING RETURNING object`,
    [objects.map(dataObjectName), objects.map(({ rows }) => rows)],
  );
  return new Set(claimed.map(({ object }) => object));
}

/** Like `claimObjects`, for units of post-data by their ids. */
export async function claimUnits(session: Session, units: readonly string[]): Promise<ReadonlySet<string>> {
  const claimed = await session.query<{ unit: string }>(
    'note the units in the bookkeeping',
    `INSERT INTO ${BOOKKEEPING_SCHEMA}.applied SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING unit`,
    [units],
  );
  return new Set(claimed.map(({ unit }) => unit));
}

/** Returns the names (`dataObjectName`) of the loaded objects. */
export async function loadedObjects(session: Session): Promise<ReadonlySet<string>> {
  const rows = await session.query<{ object: string }>(
    'list what is loaded',
    `SELECT object FROM ${BOOKKEEPING_SCHEMA}.loaded`,
  );
  return new Set(rows.map(({ object }) => object));
}

/** Returns the ids of the applied units of post-data. */
export async function appliedUnits(session: Session): Promise<ReadonlySet<string>> {
  const rows = await session.query<{ unit: string }>(
    'list what is applied',
    `SELECT unit FROM ${BOOKKEEPING_SCHEMA}.applied`,
  );
  return new Set(rows.map(({ unit }) => unit));
}

/** Records the number of rows of a complete table; `relation` is its quoted name. */
export async function noteCount(session: Session, relation: string, rows: string): Promise<void> {
  await session.query(
    'note the count of a table',
    `INSERT INTO ${BOOKKEEPING_SCHEMA}.counted VALUES ($1, $2) ON CONFLICT (relation) DO UPDATE SET rows = excluded.rows`,
    [relation, rows],
  );
}

/** Returns the recorded numbers of rows by the tables' quoted names. */
export async function countedTables(session: Session): Promise<ReadonlyMap<string, string>> {
  const rows = await session.query<{ relation: string; rows: string }>(
    'list what was counted',
    `SELECT relation, rows::text AS rows FROM ${BOOKKEEPING_SCHEMA}.counted`,
  );
  return new Map(rows.map(({ relation, rows: count }) => [relation, count]));
}

/** The database that a restore writes to, and the id that marks it as the restore's own. */
interface DatabaseUnderRestore {
  readonly target: ConnectionTarget;
  /** Names that the database may have now: its working name, then the final one. */
  readonly names: readonly string[];
  /** Id of the restore. */
  readonly restore: string;
  readonly signal: AbortSignal;
}

/** Describes the database of a job for `withSessionUnderRestore`. */
export function underRestore(
  { target, context }: RestoreJob,
  { names }: Pick<DatabaseJob, 'names'>,
): DatabaseUnderRestore {
  const { request, signal } = context;
  return { target, names: [names.working, names.to], restore: request.restore, signal };
}

/** Like `withSessionUnderRestore`, for one database of a job. */
export function withRestoreSession<T>(
  job: RestoreJob,
  database: DatabaseJob,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return withSessionUnderRestore(underRestore(job, database), work);
}

/**
 * Lends a session in the database under restore: under its working name, else under its final name (an empty database that
 * existed before, or one that was renamed already). Throws `RESTORE_NOT_OURS` (permanent) when that database isn't this
 * restore's.
 */
export async function withSessionUnderRestore<T>(
  place: DatabaseUnderRestore,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return await withPooledSession(sessionKey(place), () => openUnderRestore(place), place.signal, work);
}

async function openUnderRestore(place: DatabaseUnderRestore): Promise<Session> {
  const session = await connectUnderRestore(place);
  const state = await readState(session);
  if (state?.restore === place.restore) return session;
  await session.close();
  throw permanent(
    'RESTORE_NOT_OURS',
    `Database "${session.database}" is not under restore ${place.restore}${state?.restore === undefined ? '' : ` but under restore ${state.restore}`}`,
    'Restore under another name.',
  );
}

/** The key of these sessions in `session-pool.ts`. */
export function sessionKey({ target, names }: Pick<DatabaseUnderRestore, 'target' | 'names'>): string {
  return JSON.stringify([target, names]);
}

/** Opens a session in the first of the named databases that exists; undefined when none does. */
export async function connectIfThere({
  target,
  names,
  signal,
}: Omit<DatabaseUnderRestore, 'restore'>): Promise<Session | undefined> {
  for (const name of names) {
    try {
      return await connect(target, name, signal);
    } catch (error) {
      if (!isNoSuchDatabase(error)) throw error;
    }
  }
  return undefined;
}

/** Like `connectIfThere`, but one of them must exist. Throws `RESTORE_DATABASE_GONE` (permanent). */
export async function connectUnderRestore(place: Omit<DatabaseUnderRestore, 'restore'>): Promise<Session> {
  const session = await connectIfThere(place);
  if (session !== undefined) return session;
  throw permanent(
    'RESTORE_DATABASE_GONE',
    `There is no database under the names that the one under restore can have: ${place.names.join(', ')}`,
    'Somebody dropped or renamed it meanwhile: start the restore again.',
  );
}
