import { permanent } from '../../../model/errors.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import type { Session } from '../server/session.ts';
import { withHashedJoins } from './plain-tables.ts';

/** One object as the header of its entry names it. */
interface Counted {
  readonly type: string;
  readonly schema: string;
  readonly name: string;
}

/** Lists what a dump of these tables must hold: one row per object, with the name that pg_dump writes into its header. */
const EXPECTED = `
  WITH t AS (SELECT c.oid, c.relname, n.nspname FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])),
  owned AS (SELECT s.oid, s.relname, t.nspname, d.deptype FROM t
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = t.oid AND d.refobjsubid > 0
      AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'),
  keys AS (SELECT k.oid, k.conname, k.contype, k.conindid, k.convalidated, k.conparentid, t.relname, t.nspname FROM t
    JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid),
  indexes AS (SELECT i.indexrelid AS oid, x.relname, t.nspname FROM t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indisvalid),
  triggers AS (SELECT g.oid, g.tgname, t.relname, t.nspname FROM t
    JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal),
  remarks AS (SELECT d.classoid, d.objoid FROM pg_catalog.pg_description d)
  SELECT 'TABLE' AS type, nspname AS schema, relname AS name FROM t
  UNION ALL SELECT 'SEQUENCE', nspname, relname FROM owned
  UNION ALL SELECT 'SEQUENCE OWNED BY', nspname, relname FROM owned WHERE deptype = 'a'
  UNION ALL SELECT CASE contype WHEN 'f' THEN 'FK CONSTRAINT' ELSE 'CONSTRAINT' END, nspname, relname || ' ' || conname
    FROM keys WHERE contype IN ('p', 'u', 'x', 'f') AND conparentid = 0
  UNION ALL SELECT 'CHECK CONSTRAINT', nspname, relname || ' ' || conname FROM keys WHERE contype = 'c' AND NOT convalidated
  UNION ALL SELECT 'INDEX', nspname, relname FROM indexes i
    WHERE NOT EXISTS (SELECT FROM keys k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
  UNION ALL SELECT 'TRIGGER', nspname, relname || ' ' || tgname FROM triggers
  UNION ALL SELECT 'COMMENT', nspname, '' FROM (
    SELECT nspname, 'pg_catalog.pg_class'::regclass AS class, oid FROM t
    UNION ALL SELECT nspname, 'pg_catalog.pg_class'::regclass, oid FROM owned
    UNION ALL SELECT nspname, 'pg_catalog.pg_class'::regclass, oid FROM indexes
    UNION ALL SELECT nspname, 'pg_catalog.pg_constraint'::regclass, oid FROM keys
    UNION ALL SELECT nspname, 'pg_catalog.pg_trigger'::regclass, oid FROM triggers) commented
    JOIN remarks r ON r.classoid = commented.class AND r.objoid = commented.oid`;

/** Comments are compared only by their number per schema, not by the name in the header. */
const NAMELESS = 'COMMENT';

/** Types whose objects the dump of the rest must not contain when a slice does. */
const ALONE = new Set(['TABLE', 'SEQUENCE']);

const NAMED = 5;

/** Lists the objects that these tables add to a dump, according to the catalogue that the session sees. */
export async function expectedObjects(
  session: Session,
  oids: readonly string[],
): Promise<readonly Counted[]> {
  return await withHashedJoins(session, () =>
    session.query<Counted>(`list what belongs to tables of database "${session.database}"`, EXPECTED, [oids]),
  );
}

/**
 * Checks that the dumps of single tables hold every object that the catalogue lists for them, each once, and that the dump of the rest holds none of
 * these tables. Nothing may get lost when a dump is put together from slices.
 *
 * @throws HoldfastError `DUMP_IN_SLICES` (permanent) naming the differences
 */
export function requireEachOnce(
  database: string,
  expected: readonly Counted[],
  slices: readonly DumpEntry[],
  rest: readonly DumpEntry[],
): void {
  const balance = new Map<string, number>();
  const add = (key: string, by: number) => balance.set(key, (balance.get(key) ?? 0) + by);
  const types = new Set([...expected.map(({ type }) => type), 'TABLE', 'SEQUENCE', 'INDEX', 'TRIGGER']);
  for (const one of expected) add(keyOf(one), 1);
  for (const entry of slices) if (types.has(entry.type)) add(keyOf(entry), -1);
  const missing = [...balance].filter(([, count]) => count > 0).map(([key]) => key);
  const surplus = [...balance].filter(([, count]) => count < 0).map(([key]) => key);
  const tables = new Set(expected.filter(({ type }) => ALONE.has(type)).map(keyOf));
  const doubled = rest
    .filter(({ type }) => ALONE.has(type))
    .map(keyOf)
    .filter((key) => tables.has(key));
  if (missing.length + surplus.length + doubled.length === 0) return;
  const differences = [
    ...(missing.length > 0 ? [`it lacks ${listed(missing)}`] : []),
    ...(surplus.length > 0 ? [`it has ${listed(surplus)}, which the catalogue does not list`] : []),
    ...(doubled.length > 0 ? [`it has ${listed(doubled)} twice`] : []),
  ];
  throw permanent(
    'DUMP_IN_SLICES',
    `The schema of database "${database}", dumped in slices, is not what its catalogue lists: ${differences.join(', and ')}`,
    'Raise max_locks_per_transaction so far that all tables can be locked at once (doctor does the sum), and report this.',
  );
}

function keyOf({ type, schema, name }: Counted | DumpEntry): string {
  return `${type} ${inHeader(schema ?? '-')}.${type === NAMELESS ? '' : inHeader(name)}`;
}

/** pg_dump replaces each line break with a space in a header. */
function inHeader(text: string): string {
  return text.replaceAll(/[\r\n]/g, ' ');
}

function listed(names: readonly string[]): string {
  const some = names.slice(0, NAMED).join(', ');
  return names.length > NAMED ? `${some} and ${names.length - NAMED} more` : some;
}
