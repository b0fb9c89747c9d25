import type { LeftOut } from '../../../model/backup.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import type { Session } from '../server/session.ts';

/* What a restore leaves out is noted in the database itself, in the transaction that leaves it out, so that no retry loses it. */

/** One table may fail with many objects of rows; it is listed once. A restore that an older version began lacks the list. */
const CREATE = `
  CREATE TABLE IF NOT EXISTS ${BOOKKEEPING_SCHEMA}.left_out (
    place serial, kind text, name text, fingerprint text, sql text NOT NULL, error text NOT NULL, because text NOT NULL, instead text,
    PRIMARY KEY (kind, name, fingerprint))`;

/** Statements and messages longer than this are cut, characters. */
const SQL_AT_MOST = 2_000;
const ERROR_AT_MOST = 1_000;

/** Notes that something is left out; noting it again changes nothing. */
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

/** True where exactly this is noted. */
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

/** It came back after all. */
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

/** All that was noted, in the order in which it was left out. */
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
