import type { LeftOut } from '../../../model/backup.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import type { Session } from '../server/session.ts';

/* The restore records what it leaves out in the database itself, in the same transaction, so that no retry loses it. */

/** Creates the list if it is missing, as in a restore that an older version began. A table is listed once, even if many of its objects fail. */
const CREATE = `
  CREATE TABLE IF NOT EXISTS ${BOOKKEEPING_SCHEMA}.left_out (
    place serial, kind text, name text, fingerprint text, sql text NOT NULL, error text NOT NULL, because text NOT NULL, instead text,
    PRIMARY KEY (kind, name, fingerprint))`;

/** Longer statements and messages are cut, characters. */
const SQL_AT_MOST = 2_000;
const ERROR_AT_MOST = 1_000;

/** Records that something is left out. Recording it again changes nothing. */
export async function noteLeftOut(session: Session, item: LeftOut): Promise<void> {
  await session.query('prepare the list of what is left out', CREATE);
  const distinction = item.kind === 'TABLE DATA' ? '' : item.sql;
  await session.query(
    'note what is left out',
    `INSERT INTO ${BOOKKEEPING_SCHEMA}.left_out (kind, name, fingerprint, sql, error, because, instead)
     VALUES ($1, $2, md5($3), $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
    [
      item.kind,
      item.name,
      distinction,
      cut(item.sql, SQL_AT_MOST),
      cut(item.error, ERROR_AT_MOST),
      item.because,
      item.instead ?? null,
    ],
  );
}

/** True when exactly this item is recorded. */
export async function isLeftOut(
  session: Session,
  item: Pick<LeftOut, 'kind' | 'name' | 'sql'>,
): Promise<boolean> {
  await session.query('prepare the list of what is left out', CREATE);
  const found = await session.query(
    'look into the list of what is left out',
    `SELECT FROM ${BOOKKEEPING_SCHEMA}.left_out WHERE kind = $1 AND name = $2 AND fingerprint = md5($3) AND instead IS NULL`,
    [item.kind, item.name, item.sql],
  );
  return found.length > 0;
}

/** Removes an item that was restored after all. */
export async function forgetLeftOut(
  session: Session,
  item: Pick<LeftOut, 'kind' | 'name' | 'sql'>,
): Promise<void> {
  await session.query(
    'strike something off the list of what is left out',
    `DELETE FROM ${BOOKKEEPING_SCHEMA}.left_out WHERE kind = $1 AND name = $2 AND fingerprint = md5($3)`,
    [item.kind, item.name, item.sql],
  );
}

/** Returns everything that was left out, in order. */
export async function readLeftOut(session: Session): Promise<readonly LeftOut[]> {
  const [list] = await session.query<{ there: boolean }>(
    'look for the list of what is left out',
    `SELECT to_regclass('${BOOKKEEPING_SCHEMA}.left_out') IS NOT NULL AS there`,
  );
  if (list?.there !== true) return [];
  const rows = await session.query<Omit<LeftOut, 'instead'> & { readonly instead: 'NOT VALID' | null }>(
    'list what is left out',
    `SELECT kind, name, error, sql, because, instead FROM ${BOOKKEEPING_SCHEMA}.left_out ORDER BY place`,
  );
  return rows.map(({ instead, ...item }) => ({ ...item, ...(instead === null ? {} : { instead }) }));
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
