import type { Relation } from '../server/catalog.ts';
import { onlyRow, type Session } from '../server/session.ts';
import { givingLocksBack } from './unlocked-tables.ts';

/**
 * Finds the tables that depend on nothing but their schema, so that they can be created right after the schemas. The catalogue proves
 * this, not the order of a dump. pg_depend holds every reference except those to objects that each server has (PostgreSQL pins these,
 * src/backend/catalog/dependency.c). So a plain table has no reference except to its schema, to itself, and by a foreign key.
 *
 * `own` holds what is created and dropped with a table: its defaults, constraints, indexes, and the sequences of its columns. Only
 * foreign keys and triggers may need its keys: a view that groups by a primary key must come after that key, and only pg_dump knows the
 * place. A table is not plain when pg_dump writes something about it for the database, which `-t` leaves out: publications that name it,
 * extended statistics. Nor is it with rules or policies, whose expressions reach other tables, with partitions, or with inheritance.
 */
const PLAIN = `
  WITH candidate AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r' AND c.relpersistence IN ('p', 'u') AND NOT c.relispartition
      AND c.reloftype = 0 AND NOT c.relrowsecurity
      AND c.relam = (SELECT a.oid FROM pg_catalog.pg_am a WHERE a.amname = 'heap')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = c.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel p WHERE p.prrelid = c.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass
        AND d.objid = n.oid AND d.deptype = 'e')
  ), own AS MATERIALIZED (
    SELECT oid AS tab, 'pg_catalog.pg_class'::regclass::oid AS class, oid AS obj, '' AS kind FROM candidate
    UNION ALL SELECT a.adrelid, 'pg_catalog.pg_attrdef'::regclass, a.oid, ''
      FROM pg_catalog.pg_attrdef a JOIN candidate c ON c.oid = a.adrelid
    UNION ALL SELECT k.conrelid, 'pg_catalog.pg_constraint'::regclass, k.oid, CASE k.contype WHEN 'f' THEN 'foreign key' ELSE 'key' END
      FROM pg_catalog.pg_constraint k JOIN candidate c ON c.oid = k.conrelid
    UNION ALL SELECT i.indrelid, 'pg_catalog.pg_class'::regclass, i.indexrelid, 'key'
      FROM pg_catalog.pg_index i JOIN candidate c ON c.oid = i.indrelid
    UNION ALL SELECT d.refobjid, 'pg_catalog.pg_class'::regclass, d.objid, ''
      FROM pg_catalog.pg_depend d JOIN candidate c ON c.oid = d.refobjid
      JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  ), reaches_out AS (
    SELECT o.tab FROM own o JOIN pg_catalog.pg_depend d ON d.classid = o.class AND d.objid = o.obj
    WHERE d.deptype <> 'p' AND d.refclassid <> 'pg_catalog.pg_namespace'::regclass
      AND NOT (o.kind = 'foreign key' AND d.refclassid = 'pg_catalog.pg_class'::regclass)
      AND NOT EXISTS (SELECT FROM own r WHERE r.class = d.refclassid AND r.obj = d.refobjid AND r.tab = o.tab)
  ), is_needed AS (
    SELECT o.tab FROM own o JOIN pg_catalog.pg_depend d ON d.refclassid = o.class AND d.refobjid = o.obj
    WHERE o.kind = 'key' AND d.classid <> 'pg_catalog.pg_trigger'::regclass
      AND NOT EXISTS (SELECT FROM own r WHERE r.class = d.classid AND r.obj = d.objid AND r.tab = o.tab)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
        WHERE d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid AND k.contype = 'f')
  )
  SELECT oid::text AS oid FROM (
    SELECT oid FROM candidate EXCEPT SELECT tab FROM reaches_out EXCEPT SELECT tab FROM is_needed) plain`;

/**
 * Runs `work` in the session's transaction with nested-loop joins turned off. The planner has no statistics for a query's intermediate results
 * and chooses nested loops. With 20,000 tables these take minutes where hash joins take seconds (measured).
 */
export async function withHashedJoins<T>(session: Session, work: () => Promise<T>): Promise<T> {
  return await givingLocksBack(session, async () => {
    await session.query('plan for many rows', 'SET LOCAL enable_nestloop = off');
    return await work();
  });
}

/** Returns those `relations` that a dump can list right after the schemas, whatever else the database holds. */
export async function plainTables(
  session: Session,
  relations: readonly Relation[],
): Promise<readonly Relation[]> {
  const tables = relations.filter(({ kind }) => kind === 'r');
  const rows = await withHashedJoins(session, () =>
    session.query<{ oid: string }>(
      `look for tables of database "${session.database}" that need nothing else`,
      PLAIN,
      [tables.map(({ oid }) => oid)],
    ),
  );
  const plain = new Set(rows.map(({ oid }) => oid));
  return tables.filter(({ oid }) => plain.has(oid));
}

/**
 * Counts the tables among `oids` that a dump of the rest locks nevertheless: to write the text of a view, a rule or a function in
 * standard SQL, the server locks what that one reads (`AcquireRewriteLocks`, src/backend/utils/adt/ruleutils.c).
 */
export async function lockedThroughViews(session: Session, oids: readonly string[]): Promise<number> {
  const doing = `count the tables that views of database "${session.database}" read`;
  const rows = await withHashedJoins(session, () => session.query<{ count: number }>(doing, VIEWED, [oids]));
  return onlyRow(rows, 'the number of tables that views read').count;
}

const VIEWED = `
  SELECT count(DISTINCT refobjid)::int AS count FROM pg_catalog.pg_depend
  WHERE refclassid = 'pg_catalog.pg_class'::regclass AND refobjid = ANY ($1::oid[])
    AND classid IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_proc'::regclass)`;

/** A sequence that belongs to a column. */
export interface OwnedSequence {
  readonly oid: string;
  readonly schema: string;
  readonly table: string;
}

const OWNED = `
  SELECT s.oid::text AS oid, n.nspname AS schema, s.relname AS table FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    AND d.refobjid = ANY ($1::oid[]) AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  ORDER BY n.nspname, s.relname`;

/** The sequences of these tables' columns. */
export async function ownedSequences(
  session: Session,
  oids: readonly string[],
): Promise<readonly OwnedSequence[]> {
  return await withHashedJoins(session, () =>
    session.query<OwnedSequence>(`list the sequences of columns of database "${session.database}"`, OWNED, [
      oids,
    ]),
  );
}
