import { HoldfastError } from '../../../model/errors.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import { BOOKKEEPING_SCHEMA } from './bookkeeping-schema.ts';
import { sqlState } from './errors.ts';
import { inTransaction, type Session } from './session.ts';

/** How long the indexes of one database may take, when nobody says otherwise. */
export const INDEX_CHECK_MS = 10 * 60_000;

/** What a look at a database's indexes found. */
export interface IndexFindings {
  /** Indexes that were compared with their tables, row by row. */
  readonly checked: number;
  /** A sentence for each that isn't as its table, with what repairs it. */
  readonly broken: readonly string[];
  /** Why others were not looked at, a sentence each: nothing is known of them. */
  readonly unknown: readonly string[];
}

interface Index {
  readonly oid: string;
  readonly name: string;
  readonly method: string;
}

/** How a server compares one index with its table. */
interface Checker {
  /** With `$1` the index's oid; fails where index and table differ. */
  readonly statement: string;
  /** Access methods of the indexes that it can compare. */
  readonly methods: readonly string[];
  /** Which others it can't, as a clause. */
  readonly limit: string;
}

/** `session` lends a session for one statement. */
type Lend = <T>(work: (session: Session) => Promise<T>) => Promise<T>;

/**
 * Compares every index with its table: `yb_index_check` on YugabyteDB (from 2.20.11, 2024.1.6, 2024.2.3 and 2025.1 on; finds rows that are
 * missing, spurious or different; not for ybgin and vector indexes), `bt_index_check` with `heapallindexed` of the extension amcheck on
 * PostgreSQL (btree alone; each row of the table must be in the index). It takes a scan of index and table each, so it ends after
 * `limitMs`, `parallelism` at once. What it could not look at is named: it is not known, and not OK.
 *
 * @param mayCreate amcheck may be created where it isn't installed: the database is the restore's own. It goes with the bookkeeping.
 */
export async function checkIndexes(
  lend: Lend,
  options: {
    readonly signal: AbortSignal;
    readonly parallelism: number;
    readonly limitMs: number;
    readonly mayCreate: boolean;
  },
): Promise<IndexFindings> {
  const all = await lend(readIndexes);
  if (all.length === 0) return { checked: 0, broken: [], unknown: [] };
  const checker = await lend((session) => findChecker(session, options.mayCreate));
  if (typeof checker === 'string') {
    return { checked: 0, broken: [], unknown: [`${all.length} indexes were not compared: ${checker}.`] };
  }
  const able = all.filter(({ method }) => checker.methods.includes(method));
  const others = all.filter((index) => !able.includes(index));
  const findings = await runChecks(lend, checker, able, options);
  const unable = others.length === 0 ? [] : [`${listed(others)} not compared: ${checker.limit}.`];
  return { ...findings, unknown: [...findings.unknown, ...unable] };
}

async function runChecks(
  lend: Lend,
  checker: Checker,
  indexes: readonly Index[],
  {
    signal,
    parallelism,
    limitMs,
  }: { readonly signal: AbortSignal; readonly parallelism: number; readonly limitMs: number },
): Promise<IndexFindings> {
  const endsAt = Date.now() + limitMs;
  const broken: string[] = [];
  const unknown: string[] = [];
  const late: Index[] = [];
  let checked = 0;
  await forEachBounded(indexes, parallelism, async (index) => {
    signal.throwIfAborted();
    const leftMs = endsAt - Date.now();
    if (leftMs <= 0) {
      late.push(index);
      return;
    }
    const failure = await tryToCheck(lend, checker, index, leftMs);
    const state = sqlState(failure?.cause);
    if (failure === undefined) checked += 1;
    else if (state === INDEX_CORRUPTED || state === DATA_CORRUPTED) {
      checked += 1;
      broken.push(
        `index ${index.name} is not as its table: ${failure.message.replace(/\.$/, '')}. Build it again: REINDEX INDEX ${index.name}`,
      );
    } else if (state === STATEMENT_TIMEOUT && Date.now() >= endsAt - CLOCKS_MS) late.push(index);
    else unknown.push(`index ${index.name} was not compared: ${failure.message.replace(/\.$/, '')}.`);
  });
  if (late.length > 0) {
    unknown.push(`${listed(late)} not compared: the ${Math.ceil(limitMs / 1000)} seconds for it were over.`);
  }
  return { checked, broken, unknown };
}

const TRIES = 3;
/** The server's clock and ours may see the end of the time a little apart. */
const CLOCKS_MS = 100;

/** What an index can't be compared for, after a few tries where that may help. Throws what is no failure of the server's. */
async function tryToCheck(
  lend: Lend,
  checker: Checker,
  index: Index,
  leftMs: number,
): Promise<HoldfastError | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await lend((session) => checkOne(session, checker, index, leftMs));
      return undefined;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      if (!error.transient || attempt >= TRIES || sqlState(error.cause) === STATEMENT_TIMEOUT) return error;
    }
  }
}

const INDEX_CORRUPTED = 'XX002';
const DATA_CORRUPTED = 'XX001';
const STATEMENT_TIMEOUT = '57014';

async function checkOne(
  session: Session,
  { statement }: Checker,
  index: Index,
  leftMs: number,
): Promise<void> {
  await session.query('bound the comparison of an index', `SET statement_timeout = ${Math.ceil(leftMs)}`);
  await session.query(`compare index ${index.name} with its table`, statement, [index.oid]);
  await session.query('bound nothing any more', 'SET statement_timeout = 0');
}

/** Those of users' tables that stand for themselves: of a partitioned index its parts. YugabyteDB's primary keys are the table itself. */
async function readIndexes(session: Session): Promise<readonly Index[]> {
  return await session.query<{ oid: string; name: string; method: string }>(
    'list the indexes',
    `SELECT c.oid::text AS oid, format('%I.%I', n.nspname, c.relname) AS name, a.amname AS method
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am a ON a.oid = c.relam
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'i' AND i.indisvalid AND c.relpersistence = 'p' AND n.nspname !~ '^pg_'
       AND n.nspname NOT IN ('information_schema', '${BOOKKEEPING_SCHEMA}')
       AND NOT (i.indisprimary AND ${session.product === 'yugabytedb'})
     ORDER BY pg_catalog.pg_relation_size(i.indrelid) DESC, 2`,
  );
}

/** The server's way to compare an index, or why it has none. */
async function findChecker(session: Session, mayCreate: boolean): Promise<Checker | string> {
  if (session.product === 'yugabytedb') {
    const found = await session.query(
      'look for yb_index_check',
      "SELECT FROM pg_catalog.pg_proc WHERE proname = 'yb_index_check' AND pronamespace = 'pg_catalog'::regnamespace",
    );
    if (found.length === 0) return 'this YugabyteDB has no yb_index_check (it came with 2024.2.3 and 2025.1)';
    return {
      // Newer builds return the errors as rows, and none where they raise the first one, as here.
      statement: 'SELECT pg_catalog.yb_index_check($1::oid)',
      // btree stands for lsm where PostgreSQL is behind the tests' proxy.
      methods: ['lsm', 'btree'],
      limit: 'yb_index_check takes no ybgin and vector indexes',
    };
  }
  const schema = (await amcheckSchema(session)) ?? (mayCreate ? await createAmcheck(session) : undefined);
  if (schema === undefined) {
    return 'the extension amcheck is not installed in the database and can’t be created by this role (it comes with PostgreSQL’s contrib; a superuser creates it)';
  }
  return {
    statement: `SELECT ${schema}.bt_index_check($1::oid::regclass, true)`,
    methods: ['btree'],
    limit: 'amcheck takes btree indexes alone',
  };
}

async function amcheckSchema(session: Session): Promise<string | undefined> {
  const [found] = await session.query<{ schema: string }>(
    'look for amcheck',
    `SELECT format('%I', n.nspname) AS schema FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
     WHERE e.extname = 'amcheck'`,
  );
  return found?.schema;
}

/**
 * In the schema of the bookkeeping, with which it is dropped. Undefined where the server has no amcheck or the role may not. Event triggers of
 * the database stay quiet: they may write, or refuse.
 */
async function createAmcheck(session: Session): Promise<string | undefined> {
  const [found] = await session.query<{ may: boolean }>(
    'look whether amcheck can be created',
    `SELECT rolsuper AND EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck') AS may
     FROM pg_catalog.pg_roles WHERE rolname = current_user`,
  );
  if (found?.may !== true) return undefined;
  await inTransaction(session, async () => {
    await session.query('keep event triggers quiet', 'SET LOCAL session_replication_role = replica');
    await session.query(
      'create amcheck',
      `CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA ${BOOKKEEPING_SCHEMA}`,
    );
  });
  return BOOKKEEPING_SCHEMA;
}

const MAX_NAMED = 3;

function listed(indexes: readonly Index[]): string {
  const names = indexes.slice(0, MAX_NAMED).map(({ name }) => name);
  const more = indexes.length > MAX_NAMED ? ` and ${indexes.length - MAX_NAMED} more` : '';
  return `${indexes.length === 1 ? 'index' : 'indexes'} ${names.join(', ')}${more} ${indexes.length === 1 ? 'was' : 'were'}`;
}
