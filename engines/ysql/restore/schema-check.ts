import { formatAmount, formatCount } from '../../../model/amounts.ts';
import { withRestoreSession } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { readLeftOut } from './left-out.ts';

/** Types of dump entries whose objects can be looked up by the name in their header. */
const COMPARED = new Set([
  'TABLE',
  'FOREIGN TABLE',
  'VIEW',
  'MATERIALIZED VIEW',
  'SEQUENCE',
  'INDEX',
  'TRIGGER',
  'CONSTRAINT',
  'FK CONSTRAINT',
  'CHECK CONSTRAINT',
]);

const TABLES = new Set(['TABLE', 'FOREIGN TABLE']);
const CONSTRAINTS = new Set(['CONSTRAINT', 'FK CONSTRAINT', 'CHECK CONSTRAINT']);

interface SchemaObject {
  readonly type: string;
  readonly schema: string;
  /** As in a pg_dump header: `table constraint`, `table trigger`. */
  readonly name: string;
}

/** Returns the objects in the database's scripts that can be looked up in the catalogue. Pure. */
export function objectsOf({
  preData,
  lateChecks,
  postData,
  selection,
}: Pick<DatabaseJob, 'preData' | 'lateChecks' | 'postData' | 'selection'>): readonly SchemaObject[] {
  return [...preData, ...lateChecks, ...postData]
    .filter((entry) => COMPARED.has(entry.type) && entry.schema !== undefined && selection.keeps(entry))
    .map(({ type, schema = '', name }) => ({ type, schema, name }));
}

/** Lists the existing objects by name, with spaces for line breaks as in pg_dump's headers. */
const PRESENT = `
  SELECT kind || ' ' || translate(schema || '.' || name, E'\\r\\n', '  ') AS object FROM (
    SELECT 'relation' AS kind, n.nspname AS schema, c.relname AS name
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    UNION ALL SELECT 'constraint', n.nspname, coalesce(c.relname, t.typname) || ' ' || k.conname
      FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
      LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid
    UNION ALL SELECT 'trigger', n.nspname, c.relname || ' ' || g.tgname
      FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace) found
  WHERE schema !~ '^pg_' AND schema <> 'information_schema'`;

/** Compares the result of a schema-only restore with what the backup's scripts create. Returns each missing object. */
export async function checkSchema(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  const { rows, leftOut } = await withRestoreSession(job, database, async (session) => ({
    rows: await session.query<{ object: string }>(
      `list the objects of database "${database.names.to}" to compare them`,
      PRESENT,
    ),
    leftOut: await readLeftOut(session),
  }));
  const present = new Set(rows.map(({ object }) => object));
  // Objects that were left out are reported separately, with the server's reason.
  const reported = new Set(leftOut.map(({ kind, name }) => `${kind} ${name}`));
  return objectsOf(database)
    .filter(({ type, schema, name }) => !reported.has(`${type} ${schema}.${name}`))
    .filter(({ type, schema, name }) => !present.has(`${kindOf(type)} ${schema}.${name}`))
    .map(({ type, schema, name }) => `${type} ${schema}.${name} is in the backup and not there`);
}

function kindOf(type: string): string {
  if (type === 'TRIGGER') return 'trigger';
  return CONSTRAINTS.has(type) ? 'constraint' : 'relation';
}

/** Describes what `checkSchema` compares in all databases; undefined when that is nothing. Pure. */
export function comparedSchema({ databases }: Pick<RestoreJob, 'databases'>): string | undefined {
  const objects = databases.flatMap(objectsOf);
  if (objects.length === 0) return undefined;
  const count = (is: (type: string) => boolean) => objects.filter(({ type }) => is(type)).length;
  const tables = count((type) => TABLES.has(type));
  const indexes = count((type) => type === 'INDEX');
  const constraints = count((type) => CONSTRAINTS.has(type));
  const others = objects.length - tables - indexes - constraints;
  return [
    `schema of ${formatAmount(tables, 'table')}`,
    `${formatCount(indexes)} ${indexes === 1 ? 'index' : 'indexes'}`,
    formatAmount(constraints, 'constraint'),
    formatAmount(others, 'other object'),
  ].join(', ');
}
