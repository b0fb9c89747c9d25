import { HoldfastError } from '../../../model/errors.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import { BOOKKEEPING_SCHEMA } from './bookkeeping-schema.ts';
import { sqlState } from './errors.ts';
import { inTransaction, type Session } from './session.ts';

/** How long the check of one database's indexes may take by default. */
export const INDEX_CHECK_MS = 10 * 60_000;

/** The result of checking a database's indexes. */
export interface IndexFindings {
  /** How many indexes were compared with their tables, row by row. */
  readonly checked: number;
  /** One sentence for each index that differs from its table, with the repair. */
  readonly broken: readonly string[];
  /** Why other indexes were not compared, one sentence each. Their state is unknown. */
  readonly unknown: readonly string[];
}

interface Index {
  readonly oid: string;
  readonly name: string;
  readonly method: string;
}

/** How a server compares one index with its table. */
interface Checker {
  /** Takes the index's oid as `$1`; fails when index and table differ. */
  readonly statement: string;
  /** Access methods of the indexes that it can compare. */
  readonly methods: readonly string[];
  /** Which indexes it can't compare, as a clause. */
  readonly limit: string;
}

/** `session` lends a session for one statement. */
type Lend = <T>(work: (session: Session) => Promise<T>) => Promise<T>;

/**
 * Compares every index with its table. On YugabyteDB it uses `yb_index_check` (from 2.20.11, 2024.1.6, 2024.2.3 and 2025.1 on), which
 * finds missing, spurious and different rows but can't check ybgin and vector indexes. On PostgreSQL it uses amcheck's `bt_index_check`
 * with `heapallindexed`, which checks only btree indexes: each row of the table must be in the index. Each check scans index and table, so
 * the whole check stops after `limitMs` milliseconds; `parallelism` checks run at once. It names every index that it could not compare:
 * such an index counts as unknown, not as OK.
 *
 * @param mayCreate whether it may create amcheck where that isn't installed, because the database is the restore's own; it is dropped with
 * the bookkeeping
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
/** The server's clock and ours may differ this much about the end of the time, milliseconds. */
const CLOCKS_MS = 100;

/** Tries to compare an index, several times for a transient error. Returns the error when it can't; throws anything that is not a `HoldfastError`. */
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

/** Lists the indexes of users' tables. A partitioned index is represented by its parts. YugabyteDB's primary keys are left out: they are the table itself. */
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

/** Returns how the server compares an index, or a clause that says why it can't. */
async function findChecker(session: Session, mayCreate: boolean): Promise<Checker | string> {
  if (session.product === 'yugabytedb') {
    const found = await session.query(
      'look for yb_index_check',
      "SELECT FROM pg_catalog.pg_proc WHERE proname = 'yb_index_check' AND pronamespace = 'pg_catalog'::regnamespace",
    );
    if (found.length === 0) return 'this YugabyteDB has no yb_index_check (it came with 2024.2.3 and 2025.1)';
    return {
      // Newer builds can return the errors as rows; called like this they raise the first one.
      statement: 'SELECT pg_catalog.yb_index_check($1::oid)',
      // btree stands for lsm when the tests' proxy has PostgreSQL behind it.
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
 * Creates amcheck in the bookkeeping's schema, which is dropped with it. Returns undefined where the server has no amcheck or the role may not
 * create it. Disables the database's event triggers meanwhile: they may write rows or refuse the statement.
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
