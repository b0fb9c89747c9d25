import type { KeyColumn } from '../../model/backup.ts';
import { quoteIdentifier } from './server/identifiers.ts';
import type { Session } from './server/session.ts';

/** A primary key whose ranges can cut a table. */
export type CutKey = readonly CutColumn[];

/** A column of such a key. */
export interface CutColumn extends KeyColumn {
  /** ` COLLATE …` to append to a value that is compared without a column; empty for the database's default. */
  readonly collate: string;
  readonly name: string;
}

interface KeyRow {
  readonly oid: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    /** True for a `reg…` type: its text is the name of an object, which can be read back only while the object has that name. */
    readonly isNameOfObject: boolean;
    readonly option: number;
    readonly collation: { readonly schema: string; readonly name: string } | null;
    /** `schema.operator` by strategy number: 1 <, 2 <=, 3 =, 4 >=, 5 >. PostgreSQL's btree and YugabyteDB's lsm use the same numbers. */
    readonly operators: Readonly<Record<string, string>> | null;
  }[];
}

/**
 * Takes the operators from the key's operator class: with an empty search path, `=` on a `citext` column would mean the `=` of `text`. Values of a
 * domain are cast to its base type. `format_type` with typmod -1 names types without their length, which matters for `bit` too.
 */
const PRIMARY_KEYS = `
  SELECT i.indrelid::text AS oid, (
    SELECT jsonb_agg(jsonb_build_object(
        'name', a.attname, 'type', format_type(base.type, -1), 'isNameOfObject', base.name LIKE 'reg%', 'option', k.option,
        'collation', CASE WHEN k.collated NOT IN (0, 100) THEN jsonb_build_object('schema', cn.nspname, 'name', co.collname) END,
        'operators', (
          SELECT jsonb_object_agg(m.amopstrategy::text, format('%I.%s', pn.nspname, p.oprname))
          FROM pg_catalog.pg_amop m JOIN pg_catalog.pg_operator p ON p.oid = m.amopopr JOIN pg_catalog.pg_namespace pn ON pn.oid = p.oprnamespace
          WHERE m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
            AND m.amoppurpose = 's' AND m.amopstrategy BETWEEN 1 AND 5)
      ) ORDER BY k.position)
    FROM unnest(i.indkey::int2[], i.indoption::int2[], i.indclass::oid[], i.indcollation::oid[])
      WITH ORDINALITY k(attnum, option, opclass, collated, position)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    JOIN pg_catalog.pg_opclass c ON c.oid = k.opclass
    LEFT JOIN pg_catalog.pg_collation co ON co.oid = k.collated
    LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
    CROSS JOIN LATERAL (
      WITH RECURSIVE beneath(type) AS (
        SELECT a.atttypid UNION ALL SELECT t.typbasetype FROM beneath b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
      SELECT t.oid AS type, t.typname AS name FROM beneath b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype <> 'd'
    ) base
    WHERE k.position <= i.indnkeyatts) AS columns
  FROM pg_catalog.pg_index i WHERE i.indisprimary AND i.indisvalid AND i.indrelid = ANY ($1::oid[])`;

const DESCENDING = 1;
/** INDOPTION_HASH in YugabyteDB's pg_index.h. */
const HASHED = 4;

/** Reads the primary keys whose order allows reading rows in ranges, by the table's object id. Leaves out hashed keys. */
export async function readCutKeys(
  session: Session,
  tables: readonly string[],
): Promise<ReadonlyMap<string, CutKey>> {
  const rows = await session.query<KeyRow>(
    `read the primary keys of database "${session.database}"`,
    PRIMARY_KEYS,
    [tables],
  );
  return new Map(
    rows.flatMap(({ oid, columns }) => {
      const cut = columns.flatMap((column) => cutColumn(column) ?? []);
      return cut.length > 0 && cut.length === columns.length ? [[oid, cut]] : [];
    }),
  );
}

function cutColumn({
  name,
  type,
  isNameOfObject,
  option,
  collation,
  operators,
}: KeyRow['columns'][number]): CutColumn | undefined {
  const [less, lessOrEqual, equal, greaterOrEqual, greater] = ['1', '2', '3', '4', '5'].map((strategy) => {
    const operator = operators?.[strategy];
    return operator === undefined ? undefined : `OPERATOR(${operator})`;
  });
  const complete = less && lessOrEqual && equal && greaterOrEqual && greater;
  if (!complete || isNameOfObject || (option & HASHED) !== 0) return undefined;
  const descending = (option & DESCENDING) !== 0;
  return {
    column: quoteIdentifier(name),
    name,
    type,
    collate:
      collation === null
        ? ''
        : ` COLLATE ${quoteIdentifier(collation.schema)}.${quoteIdentifier(collation.name)}`,
    equal,
    ...(descending
      ? { before: greater, notBefore: lessOrEqual, after: less }
      : { before: less, notBefore: greaterOrEqual, after: greater }),
  };
}
