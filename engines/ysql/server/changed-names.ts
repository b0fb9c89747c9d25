import type { Session } from './session.ts';

/** An object that a dump names or describes by the server's functions. */
interface NamedObject {
  readonly catalogue: string;
  readonly oid: string;
  readonly name: string;
  /** Everything that those functions write about it; the same as long as nobody has renamed, replaced or dropped the object. */
  readonly identity: string;
  /** Object id of the relation that it is, or belongs to as an index or row type. */
  readonly relation: string | null;
}

const part = (
  catalogue: string,
  name: string,
  schema: string,
  more = "''",
  where = 'true',
  relation = 'NULL',
) =>
  `SELECT '${catalogue}' AS catalogue, t.oid::text AS oid, t.${name}::text AS name, (${relation})::text AS relation,
     t.${schema}::oid AS namespace, concat_ws(' ', t.${name}, t.${schema}, ${more}) AS identity
   FROM pg_catalog.${catalogue} t WHERE t.oid >= 16384 AND ${where}`;

const PARTS = [
  part('pg_namespace', 'nspname', 'oid', "''", `t.nspname !~ '^pg_'`),
  // An index that is being built, or that a build left behind, is in no dump.
  part(
    'pg_class',
    'relname',
    'relnamespace',
    "''",
    `t.relkind <> 't' AND t.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = t.oid AND NOT i.indisvalid)`,
    'coalesce((SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid = t.oid), t.oid)',
  ),
  part('pg_type', 'typname', 'typnamespace', "''", 't.typelem = 0', 't.typrelid'),
  part(
    'pg_proc',
    'proname',
    'pronamespace',
    `t.prokind, t.prorettype, t.proargtypes, t.proallargtypes, t.proargnames, t.proargmodes, t.pronargdefaults, md5(t.proargdefaults::text), md5(t.prosqlbody::text)`,
  ),
  part('pg_operator', 'oprname', 'oprnamespace'),
  part('pg_opclass', 'opcname', 'opcnamespace'),
  part('pg_opfamily', 'opfname', 'opfnamespace'),
  part('pg_collation', 'collname', 'collnamespace'),
  // pg_dump up to 15 writes those of a table that it leaves out, too.
  part('pg_statistic_ext', 'stxname', 'stxnamespace'),
  part('pg_ts_config', 'cfgname', 'cfgnamespace'),
  part('pg_ts_dict', 'dictname', 'dictnamespace'),
];

const OBJECTS = `
  SELECT found.* FROM (${PARTS.join(' UNION ALL ')}) found
  JOIN pg_catalog.pg_namespace n ON n.oid = found.namespace AND n.nspname !~ '^pg_(temp|toast)'`;

async function namedObjects(session: Session): Promise<readonly NamedObject[]> {
  return await session.query<NamedObject>(
    `list what a dump of database "${session.database}" names`,
    OBJECTS,
  );
}

/**
 * Returns the names of objects that `then` sees and that `now` sees no more, or sees differently: renamed, replaced or dropped. A dump
 * program reads the catalogue at its snapshot, but the server's functions that it calls for definitions (`pg_get_indexdef`,
 * `pg_get_function_arguments`, `format_type`, …) see the present. Of an object that is gone they return nothing, and pg_dump then writes an
 * empty statement in place of an index, and a function without its arguments, without an error. Objects that are new don't matter.
 *
 * @param leftOut object ids of relations that no dump holds, so that it doesn't matter what becomes of them
 */
export async function changedNames(
  then: Session,
  now: Session,
  leftOut: ReadonlySet<string>,
): Promise<readonly string[]> {
  const key = ({ catalogue, oid }: NamedObject) => `${catalogue} ${oid}`;
  const wanted = (await namedObjects(then)).filter(
    ({ relation }) => relation === null || !leftOut.has(relation),
  );
  const present = new Map((await namedObjects(now)).map((object) => [key(object), object.identity]));
  return wanted.filter((object) => present.get(key(object)) !== object.identity).map(({ name }) => name);
}
