import type { FactId } from '../facts/facts.ts';
import type { Statement } from './sql.ts';

/** A refusal that YSQL has and PostgreSQL hasn't, with its source. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly fact: FactId;
}

/** What the current transaction has seen so far. */
export interface TransactionSoFar {
  readonly open: boolean;
  readonly savepoint: boolean;
  readonly ddl: boolean;
}

const DDL: ReadonlySet<string> = new Set([
  ...['create', 'alter', 'drop', 'comment', 'grant', 'revoke', 'reindex', 'refresh', 'security'],
]);

/** Whether a statement changes the catalogue of objects that outlive the session. */
export function isDdl({ tokens }: Statement): boolean {
  const [first, second] = tokens;
  if (!DDL.has(first?.text ?? '')) return false;
  return second?.text !== 'temporary' && second?.text !== 'temp';
}

export function isSavepoint({ tokens }: Statement): boolean {
  return tokens[0]?.text === 'savepoint';
}

const SAVEPOINTS: Refusal = {
  code: '0A000',
  message:
    'Interleaving SAVEPOINT & DDL in transaction not supported by YugabyteDB yet. Set the flag ysql_yb_enable_ddl_savepoint_support to allow it',
  fact: 'server.savepoints',
};

const TABLEGROUP: Refusal = {
  code: '25001',
  message: 'CREATE TABLEGROUP cannot run inside a transaction block',
  fact: 'server.alone',
};

/** Returns why YSQL refuses a statement, or undefined. `alone` is false in a text of several statements, which forms one transaction. */
export function refusalOf(
  statement: Statement,
  transaction: TransactionSoFar,
  alone: boolean,
): Refusal | undefined {
  const inBlock = transaction.open || !alone;
  const { tokens } = statement;
  if (tokens[0]?.text === 'create' && tokens[1]?.text === 'tablegroup' && inBlock) return TABLEGROUP;
  if (transaction.open && isSavepoint(statement) && transaction.ddl) return SAVEPOINTS;
  if (transaction.open && isDdl(statement) && transaction.savepoint) return SAVEPOINTS;
  return undefined;
}

/**
 * Returns the statement if YSQL builds its index without online backfill, because it is in a transaction or in a text of several
 * statements (fact `server.alone`). Undefined when the statement itself asks for that.
 */
export function nonconcurrentIndex(
  { sql, tokens }: Statement,
  transaction: TransactionSoFar,
  alone: boolean,
): string | undefined {
  const index = tokens[1]?.text === 'unique' ? 2 : 1;
  if (tokens[0]?.text !== 'create' || tokens[index]?.text !== 'index') return undefined;
  if (tokens[index + 1]?.text === 'nonconcurrently') return undefined;
  return transaction.open || !alone ? sql : undefined;
}
