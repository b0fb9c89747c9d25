import type { Session } from './server/session.ts';

/** Finds indexes that call functions which an extension put into pg_catalog, or operator class functions in a language whose code can call anything. */
const HIDDEN = `
  SELECT n.nspname || '.' || c.relname AS name
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE i.indexrelid >= 16384 AND n.nspname !~ '^pg_' AND (
    EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
        AND d.refclassid = 'pg_catalog.pg_proc'::regclass AND p.oid >= 16384
        AND p.pronamespace = 'pg_catalog'::regnamespace)
    OR EXISTS (SELECT FROM unnest(i.indclass::oid[]) AS class(oid)
      JOIN pg_catalog.pg_opclass o ON o.oid = class.oid JOIN pg_catalog.pg_amproc a ON a.amprocfamily = o.opcfamily
      JOIN pg_catalog.pg_proc p ON p.oid = a.amproc JOIN pg_catalog.pg_language l ON l.oid = p.prolang
      WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')))
  ORDER BY 1`;

/**
 * Lists the indexes (`schema.index`) that call functions which aren't built in, though the schema's text doesn't show it: pg_dump
 * writes names in pg_catalog without a schema, and never writes the functions of operator classes. A restore keeps the place of these
 * indexes (`restore/calls.ts`).
 */
export async function readHiddenCalls(reader: Session): Promise<readonly string[]> {
  const rows = await reader.query<{ name: string }>(
    `look for indexes of database "${reader.database}" that call functions`,
    HIDDEN,
  );
  return rows.map(({ name }) => name);
}
