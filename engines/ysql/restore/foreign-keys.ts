import { formatAmount } from '../../../model/amounts.ts';
import { holdsLargeObjects } from '../large-objects.ts';
import { quoteIdentifier, quoteTable, tableName } from '../server/identifiers.ts';
import { withRestoreSession } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import type { QualifiedName } from './selection.ts';

interface ForeignKey extends QualifiedName {
  readonly name: string;
  readonly referenced: QualifiedName & { readonly kind: string };
  readonly isFull: boolean;
  readonly columns: readonly { readonly own: string; readonly key: string; readonly operator: string }[];
}

/**
 * Lists the foreign keys of these tables that held for every row. A partition has its own entry for each; the entries that the server keeps
 * for each partition of the other table, whose parent entry is of the same table, would be too narrow.
 */
const FOREIGN_KEYS = `
  SELECT n.nspname AS schema, c.relname AS table, k.conname AS name, k.confmatchtype = 'f' AS "isFull",
    json_build_object('schema', rn.nspname, 'table', r.relname, 'kind', r.relkind) AS referenced,
    (SELECT json_agg(json_build_object('own', own.attname, 'key', key.attname, 'operator', format('OPERATOR(%I.%s)', pn.nspname, o.oprname)) ORDER BY part.place)
      FROM unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY part(own, key, operator, place)
      JOIN pg_catalog.pg_attribute own ON own.attrelid = k.conrelid AND own.attnum = part.own
      JOIN pg_catalog.pg_attribute key ON key.attrelid = k.confrelid AND key.attnum = part.key
      JOIN pg_catalog.pg_operator o ON o.oid = part.operator JOIN pg_catalog.pg_namespace pn ON pn.oid = o.oprnamespace) AS columns
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class r ON r.oid = k.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
  LEFT JOIN pg_catalog.pg_constraint above ON above.oid = k.conparentid
  WHERE k.contype = 'f' AND k.convalidated AND c.relkind = 'r' AND above.conrelid IS DISTINCT FROM k.conrelid
    AND coalesce(to_jsonb(k) ->> 'conperiod', 'false') = 'false' AND coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true'
    AND k.conrelid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
  ORDER BY 1, 2, 3`;

/**
 * Returns one sentence for each foreign key that rows of this restore break. Rows alone go into tables whose foreign keys are off meanwhile, and
 * switching these on again looks at no row: the tables that rows refer to may hold others than the backup's.
 */
export async function brokenForeignKeys(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  if (job.withSchema || !job.withData) return [];
  const tables = database.manifest.tables.filter(
    (table) => database.selection.includes(table) && !holdsLargeObjects(table),
  );
  return await withRestoreSession(job, database, async (session) => {
    const keys = await session.query<ForeignKey>('list the foreign keys', FOREIGN_KEYS, [
      tables.map(quoteTable),
    ]);
    const broken: string[] = [];
    for (const key of keys) {
      job.context.heartbeat({ foreignKey: key.name });
      const [found] = await session.query<{ rows: string }>(
        `look for rows of ${tableName(key)} that break its foreign key ${key.name}`,
        `SELECT count(*)::text AS rows FROM ONLY ${quoteTable(key)} AS f WHERE ${isBroken(key)}`,
      );
      const rows = Number(found?.rows);
      if (rows === 0) continue;
      broken.push(
        `${formatAmount(rows, 'row')} of ${tableName(key)} break its foreign key ${key.name}: ${tableName(key.referenced)} lacks what they refer to`,
      );
    }
    return broken;
  });
}

/** The condition for a row `f` that the foreign key would refuse. Pure. */
function isBroken({ columns, referenced, isFull }: ForeignKey): string {
  const set = columns.map(({ own }) => `f.${quoteIdentifier(own)} IS NOT NULL`);
  const equal = columns.map(
    ({ own, key, operator }) => `p.${quoteIdentifier(key)} ${operator} f.${quoteIdentifier(own)}`,
  );
  const only = referenced.kind === 'p' ? '' : 'ONLY ';
  const isAlone = `${set.join(' AND ')} AND NOT EXISTS (SELECT FROM ${only}${quoteTable(referenced)} AS p WHERE ${equal.join(' AND ')})`;
  return isFull ? `(${isAlone}) OR ((${set.join(' OR ')}) AND NOT (${set.join(' AND ')}))` : isAlone;
}
