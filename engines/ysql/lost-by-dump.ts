import type { Selection } from './server/catalog.ts';
import { quoteIdentifier, quoteLiteral, quoteTable, tableName } from './server/identifiers.ts';
import type { Session } from './server/session.ts';

interface KeyProperty {
  readonly schema: string;
  readonly table: string;
  readonly constraint: string;
  readonly comment: string | null;
  readonly identity: 'd' | 'n' | 'f' | 'i' | 'c';
  readonly isIdentity: boolean;
}

const PROPERTIES = `
  SELECT n.nspname AS schema, c.relname AS table, k.conname AS constraint, c.relreplident AS identity,
    i.indisreplident AS "isIdentity", pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
  JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
      AND d.objsubid = 0 AND d.deptype = 'e')
    AND (pg_catalog.obj_description(k.oid, 'pg_constraint') IS NOT NULL OR i.indisreplident OR c.relreplident = 'c')
  ORDER BY n.nspname, c.relname`;

/**
 * Returns, as entries of a dump, what every ysql_dump leaves out: the comment of a primary key, and a table's replica identity when
 * it is the primary key's index or CHANGE (`dumpConstraint` returns early where `contype` is `p`, upstream pg_dump.c; `relreplident`
 * `c` has no branch there).
 */
export async function lostByYsqlDump(
  session: Session,
  { excluded }: Pick<Selection, 'excluded'>,
): Promise<string> {
  const gone = new Set(excluded.map(tableName));
  const rows = await session.query<KeyProperty>(
    `read the properties of the primary keys of database "${session.database}"`,
    PROPERTIES,
  );
  return rows
    .filter((row) => !gone.has(tableName(row)))
    .flatMap((row) => {
      const table = quoteTable(row);
      const key = quoteIdentifier(row.constraint);
      const entries: string[] = [];
      if (row.isIdentity && row.identity === 'i') {
        entries.push(
          entry(
            row,
            `${row.table} ${row.constraint}`,
            'CONSTRAINT',
            `ALTER TABLE ONLY ${table} REPLICA IDENTITY USING INDEX ${key}`,
          ),
        );
      }
      if (row.identity === 'c') {
        entries.push(
          entry(
            row,
            `${row.table} ${row.constraint}`,
            'CONSTRAINT',
            `ALTER TABLE ONLY ${table} REPLICA IDENTITY CHANGE`,
          ),
        );
      }
      if (row.comment !== null) {
        const name = `CONSTRAINT ${row.constraint} ON ${row.table}`;
        entries.push(
          entry(
            row,
            name,
            'COMMENT',
            `COMMENT ON CONSTRAINT ${key} ON ${table} IS ${quoteLiteral(row.comment)}`,
          ),
        );
      }
      return entries;
    })
    .join('');
}

function entry({ schema }: KeyProperty, name: string, type: string, sql: string): string {
  const inHeader = (text: string) => text.replaceAll(/[\r\n]/g, ' ');
  return `\n--\n-- Name: ${inHeader(name)}; Type: ${type}; Schema: ${inHeader(schema)}; Owner: -\n--\n\n${sql};\n`;
}
