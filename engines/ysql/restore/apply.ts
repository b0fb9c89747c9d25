import { permanent } from '../../../model/errors.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { existingRoles } from '../server/roles.ts';
import { type Product, readServer } from '../server/server.ts';
import { inTransaction, type Session } from '../server/session.ts';
import { existingTablespaces, withKnownTablespace } from '../server/tablespaces.ts';
import { adapted, type TextAdaptation } from './adapted.ts';
import { claimUnits } from './bookkeeping.ts';
import {
  applyAgain,
  applyForgivingly,
  doingOf,
  type EntryWork,
  type Forgiveness,
  forgivenessOf,
  isStatementsOwn,
  isThereAlready,
  settle,
  withWayOut,
} from './forgiving.ts';
import { inGroups } from './in-groups.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/** How entries are changed for this server, and how they are applied. */
export interface Adaptation extends TextAdaptation {
  readonly tablespaces: ReadonlySet<string>;
  readonly forgives: Forgiveness;
  /** True: try only what was left out before, once more. */
  readonly again?: true;
  /**
   * True when a transaction can roll back schema changes. Otherwise (YugabyteDB) each statement is sent by itself and outside of any
   * transaction: savepoints are refused beside DDL (yugabyte-db issues 26734, 31810), and CREATE INDEX in a text of several statements
   * is built without backfill (upstream utility.c, `isTopLevel`).
   */
  readonly transactionalDdl: boolean;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** The properties of a server that decide how entries are applied there. */
interface TargetServer {
  readonly roles: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<string>;
  readonly product: Product;
}

/** What each session found out about its server. A session lasts only seconds, and a restore creates its roles before it opens one, so this stays valid. */
const servers = new WeakMap<Session, TargetServer>();

/** Reads the properties of the session's server, once per session. */
export async function targetServerOf(session: Session): Promise<TargetServer> {
  const known = servers.get(session);
  if (known !== undefined) return known;
  const { product } = await readServer(session);
  const found = {
    product,
    roles: await existingRoles(session),
    tablespaces: await existingTablespaces(session),
  };
  servers.set(session, found);
  return found;
}

/** Reads how entries must be adapted to the target server. */
export async function readAdaptation(
  job: RestoreJob,
  database: DatabaseJob,
  session: Session,
): Promise<Adaptation> {
  const { product, roles, tablespaces } = await targetServerOf(session);
  return {
    owner: job.context.request.owner,
    placement: job.context.request.placement ?? 'source',
    roles,
    tablespaces,
    forgives: forgivenessOf(job, database),
    transactionalDdl: product === 'postgresql',
    log: job.context.log,
  };
}

/** Limits for one round trip: entries, and characters of their texts. */
const SENT_AT_ONCE = 200;
const CHARACTERS_AT_ONCE = 500_000;

/**
 * Applies entries in order, many in one round trip. When the server refuses one, the entries of that round trip are applied again one
 * by one, so that the error names it.
 */
export async function applyEntries(
  session: Session,
  entries: readonly DumpEntry[],
  adaptation: Adaptation,
): Promise<void> {
  const isPlain =
    adaptation.transactionalDdl && adaptation.forgives === 'nothing' && adaptation.again !== true;
  const slices = inGroups(entries, {
    maxItems: isPlain ? SENT_AT_ONCE : 1,
    maxWeight: CHARACTERS_AT_ONCE,
    weightOf: ({ statements }) => statements.reduce((sum, { text }) => sum + text.length, 0),
  });
  for (const slice of slices) {
    if (slice.length > 1 && (await appliedAtOnce(session, slice, adaptation))) continue;
    for (const entry of slice) await applyEntry(session, entry, adaptation);
  }
}

/** Applies entries in one round trip. Returns false when the server refuses one; then none of them is applied, and the transaction continues. */
async function appliedAtOnce(
  session: Session,
  entries: readonly DumpEntry[],
  adaptation: Adaptation,
): Promise<boolean> {
  const texts = entries.flatMap((entry) => {
    const statements = adapted(entry, adaptation);
    return statements.length === 0
      ? []
      : [...settingsOf(entry, adaptation), ...statements.map(({ text }) => text)];
  });
  await session.query('set a savepoint', 'SAVEPOINT slice');
  try {
    await session.query(`create ${entries.length} objects`, texts.join('\n'));
  } catch (error) {
    if (!isStatementsOwn(session, error)) throw error;
    await session.query('roll back to the savepoint', 'ROLLBACK TO SAVEPOINT slice');
    return false;
  }
  await session.query('release the savepoint', 'RELEASE SAVEPOINT slice');
  return true;
}

function settingsOf({ settings }: DumpEntry, { tablespaces }: Adaptation): readonly string[] {
  return settings.map((setting) => withKnownTablespace(setting, tablespaces));
}

/**
 * Runs an entry's statements: in the session's transaction where DDL is transactional, else one by one.
 *
 * @param mayBeThere true: an object that an interrupted attempt has created already counts as done
 */
async function applyEntry(
  session: Session,
  entry: DumpEntry,
  adaptation: Adaptation,
  mayBeThere = false,
): Promise<void> {
  const statements = adapted(entry, adaptation);
  if (statements.length === 0) return;
  const settings = settingsOf(entry, adaptation);
  const isInTransaction = adaptation.transactionalDdl;
  const work: EntryWork = {
    ...adaptation,
    session,
    entry,
    settings,
    statements,
    isInTransaction,
    mayBeThere,
  };
  if (adaptation.again === true) return await applyAgain(work);
  if (adaptation.forgives !== 'nothing') return await applyForgivingly(work);
  try {
    if (isInTransaction) {
      const texts = statements.map(({ text }) => text);
      await session.query(doingOf(entry), [...settings, ...texts].join('\n'));
    } else {
      await applyOneByOne(work);
    }
  } catch (error) {
    throw withWayOut(session, error);
  }
}

async function applyOneByOne(work: EntryWork): Promise<void> {
  const { session, entry, statements, mayBeThere } = work;
  await settle(work);
  for (const statement of statements) {
    try {
      await session.query(doingOf(entry), statement.text);
    } catch (error) {
      if (!mayBeThere || !(await isThereAlready(session, statement, error))) throw error;
    }
  }
}

/** A unit's entries, its id in the bookkeeping, and the tables to lock first. */
interface UnitToApply {
  readonly id: string;
  readonly entries: readonly DumpEntry[];
  readonly lockTables: readonly string[];
}

/**
 * Applies units in one transaction that also records them, so that a retry finds each unit either done or not begun. On
 * YugabyteDB DDL may survive an interrupted transaction, so there a retry accepts "already exists" as done, entry by entry.
 */
export async function applyUnits(
  session: Session,
  units: readonly UnitToApply[],
  adaptation: Adaptation,
): Promise<void> {
  if (!adaptation.transactionalDdl) {
    for (const unit of units) await applyWithoutTransaction(session, unit, adaptation);
    return;
  }
  await inTransaction(session, async () => {
    const claimed = await claimUnits(
      session,
      units.map(({ id }) => id),
    );
    const open = units.filter(({ id }) => claimed.has(id));
    if (open.length === 0) return;
    await session.query('wait for locks as long as it takes', 'SET LOCAL lock_timeout = 0');
    const lockTables = [...new Set(open.flatMap((unit) => unit.lockTables))].sort();
    if (lockTables.length > 0) {
      await session.query(
        'lock the tables of a foreign key',
        `LOCK TABLE ${lockTables.join(', ')} IN SHARE ROW EXCLUSIVE MODE`,
      );
    }
    await applyEntries(
      session,
      open.flatMap(({ entries }) => entries),
      adaptation,
    );
  });
}

async function applyWithoutTransaction(
  session: Session,
  { id, entries }: UnitToApply,
  adaptation: Adaptation,
): Promise<void> {
  const [done] = await session.query<{ there: boolean }>(
    'look whether the unit is applied',
    `SELECT EXISTS (SELECT FROM ${BOOKKEEPING_SCHEMA}.applied WHERE unit = $1) AS there`,
    [id],
  );
  if (done === undefined)
    throw permanent('YSQL_NO_ROW', 'EXISTS returned no row', 'Check that the server is YSQL.');
  if (done.there) return;
  for (const entry of entries) await applyEntry(session, entry, adaptation, true);
  await claimUnits(session, [id]);
}
