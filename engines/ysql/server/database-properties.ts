import type { ManifestDatabase } from '../../../model/manifest.ts';
import { onlyRow, type Session } from './session.ts';

/** Reads the properties of the reader's database that a manifest states. */
export async function databaseProperties(
  reader: Session,
): Promise<Pick<ManifestDatabase, 'owner' | 'encoding' | 'collate' | 'ctype'>> {
  const rows = await reader.query<{ owner: string; encoding: string; collate: string; ctype: string }>(
    `read the properties of database "${reader.database}"`,
    `SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype
     FROM pg_catalog.pg_database WHERE datname = current_database()`,
  );
  return onlyRow(rows, 'the properties of the database');
}
