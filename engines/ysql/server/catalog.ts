import type { YsqlSource } from '../../../model/pipeline.ts';
import { nameMatcher } from '../../name-patterns.ts';
import { BOOKKEEPING_SCHEMA } from './bookkeeping-schema.ts';
import type { Session } from './session.ts';

/** A relation of one database, as the catalogs describe it. */
export interface Relation {
  readonly oid: string;
  readonly schema: string;
  readonly table: string;
  /** `pg_class.relkind`: r table, p partitioned table, f foreign table, v view, m materialized view, S sequence. */
  readonly kind: 'r' | 'p' | 'f' | 'v' | 'm' | 'S';
  /** The extension that it belongs to and that brings its definition; null when it belongs to none. */
  readonly extension: string | null;
  /** The WHERE clause of the rows to keep, possibly empty, when its extension marks it as configuration; else null. */
  readonly configCondition: string | null;
  /** Null when the relation was dropped after the instant that this session sees. */
  readonly readable: boolean | null;
  /** Row security hides rows from the role of this session. */
  readonly filtered: boolean;
  /** An unlogged relation on a standby: the relation exists there, but only the primary has its content. */
  readonly hollow: boolean;
  readonly parents: readonly string[];
  /** For the sequence of an identity column: its table, without which a dump leaves the sequence out. */
  readonly identityOf?: string | null;
}

/** pg_dump leaves out temporary objects, the system's own schemas, and nothing else. The bookkeeping of an interrupted restore is nobody's data. */
const RELATIONS = `
  SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS table, c.relkind AS kind, e.extname AS extension,
    CASE WHEN c.oid = ANY (e.extconfig) THEN coalesce(e.extcondition[array_position(e.extconfig, c.oid)], '') END
      AS "configCondition",
    has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
      WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END AS readable,
    c.relkind IN ('r', 'p') AND row_security_active(c.oid) AS filtered,
    c.relpersistence = 'u' AND c.relkind IN ('r', 'S') AND pg_is_in_recovery() AS hollow,
    ARRAY(SELECT i.inhparent::text FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
    CASE c.relkind WHEN 'S' THEN (SELECT o.refobjid::text FROM pg_catalog.pg_depend o WHERE o.classid = 'pg_catalog.pg_class'::regclass
      AND o.objid = c.oid AND o.deptype = 'i' AND o.refclassid = 'pg_catalog.pg_class'::regclass) END AS "identityOf"
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
    AND d.objsubid = 0 AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::regclass
  LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '${BOOKKEEPING_SCHEMA}')
  ORDER BY n.nspname, c.relname`;

/** Reads every relation of the session's database that a dump considers. */
export async function readRelations(session: Session): Promise<readonly Relation[]> {
  return await session.query<Relation>(`list the tables of database "${session.database}"`, RELATIONS);
}

/** What the plan's patterns select from one database. */
export interface Selection {
  /** Tables whose rows are backed up: leaves of partitioned tables, never the partitioned table itself. */
  readonly data: readonly Relation[];
  /** What the schema dump holds. */
  readonly dumped: readonly Relation[];
  /** What the schema dump must leave out: unselected tables and the views that need them. */
  readonly excluded: readonly Relation[];
  /** Sequences whose values are backed up. */
  readonly sequences: readonly Relation[];
  /** Tables and sequences that a restore leaves empty or at their start, because the standby lacks their content. */
  readonly hollow: readonly Relation[];
  /** Everything that the dump reads or locks. */
  readonly read: readonly Relation[];
}

/**
 * Applies the patterns. A partition or inheritance child follows its parents: it is included when one of them is, and excluded
 * when one of them is. The parents of an included table are included too, without their other children.
 */
export async function select(
  session: Session,
  relations: readonly Relation[],
  source: YsqlSource,
): Promise<Selection> {
  const excluded = excludedRelations(relations, source);
  if (excluded.size > 0) await addDependentViews(session, excluded);
  const kept = relations.filter(({ oid }) => !excluded.has(oid));
  const dumped = kept.filter(isDumped);
  const ofKind = (kind: Relation['kind']) =>
    kept.filter((relation) => relation.kind === kind && (isDumped(relation) || hasConfiguration(relation)));
  const withContent = (found: readonly Relation[]) => found.filter(({ hollow }) => !hollow);
  return {
    data: withContent(ofKind('r')),
    dumped,
    excluded: relations.filter((relation) => excluded.has(relation.oid) && relation.extension === null),
    sequences: withContent(ofKind('S')),
    hollow: [...ofKind('r'), ...ofKind('S')].filter(({ hollow }) => hollow),
    read: kept.filter(
      (relation) => hasConfiguration(relation) || (dumped.includes(relation) && relation.kind !== 'v'),
    ),
  };
}

/** True for relations that can be locked against DDL: tables, including partitioned ones. */
export function isLockable({ kind }: Pick<Relation, 'kind'>): boolean {
  return kind === 'r' || kind === 'p';
}

/** True for relations that the dump program locks: tables, and sequences, because it reads their values for each section. */
export function takesLock(relation: Pick<Relation, 'kind'>): boolean {
  return isLockable(relation) || relation.kind === 'S';
}

function isDumped(relation: Relation): boolean {
  return relation.extension === null;
}

function hasConfiguration(relation: Relation): boolean {
  return relation.configCondition !== null;
}

function excludedRelations(relations: readonly Relation[], source: YsqlSource): Set<string> {
  const matcher = nameMatcher(source.tables);
  if (matcher.all) return new Set();
  const byOid = new Map(relations.map((relation) => [relation.oid, relation]));
  const lineage = (relation: Relation): readonly Relation[] => [
    relation,
    ...relation.parents.flatMap((oid) => {
      const parent = byOid.get(oid);
      return parent === undefined ? [] : lineage(parent);
    }),
  ];
  const name = ({ schema, table }: Relation) => `${schema}.${table}`;
  const kept = new Set<string>();
  for (const relation of relations) {
    const line = lineage(relation);
    const isTable = relation.kind === 'r' || relation.kind === 'p' || relation.kind === 'f';
    const included = !isTable || line.some((member) => matcher.included(name(member)));
    if (included && !line.some((member) => matcher.excluded(name(member)))) {
      for (const member of line) kept.add(member.oid);
    }
  }
  for (const { oid, identityOf } of relations) {
    if (typeof identityOf === 'string' && !kept.has(identityOf)) kept.delete(oid);
  }
  return new Set(relations.map(({ oid }) => oid).filter((oid) => !kept.has(oid)));
}

/** Adds the views that need an excluded relation: they can't be created without it. */
async function addDependentViews(session: Session, excluded: Set<string>): Promise<void> {
  const edges = await session.query<{ view: string; needs: string }>(
    `list what the views of database "${session.database}" need`,
    `SELECT DISTINCT r.ev_class::text AS view, d.refobjid::text AS needs
     FROM pg_catalog.pg_rewrite r
     JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
       AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class`,
  );
  for (let grew = true; grew; ) {
    const more = edges.filter(({ view, needs }) => excluded.has(needs) && !excluded.has(view));
    for (const { view } of more) excluded.add(view);
    grew = more.length > 0;
  }
}
