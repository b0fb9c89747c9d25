import { permanent } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { Relation } from './server/catalog.ts';
import { quoteIdentifier, quoteLiteral } from './server/identifiers.ts';
import { onlyRow, type Session } from './server/session.ts';

/*
 * A backup carries large objects as pg_dump does: with all tables, but not where the plan names tables to include. Their pages
 * are the rows of pg_catalog.pg_largeobject and travel in chunks like the rows of any table. Everything else about them (number,
 * owner, privileges, comment, label) is a script in pg_dump's form. YugabyteDB has no large objects.
 */

/** The table that holds the pages of all large objects. */
export const LARGE_OBJECT_PAGES: Relation = {
  oid: '2613',
  schema: 'pg_catalog',
  table: 'pg_largeobject',
  kind: 'r',
  extension: null,
  configCondition: null,
  readable: true,
  filtered: false,
  hollow: false,
  parents: [],
};

/** True for the table that holds the pages of large objects. */
export function holdsLargeObjects({ schema, table }: Pick<Relation, 'schema' | 'table'>): boolean {
  return schema === LARGE_OBJECT_PAGES.schema && table === LARGE_OBJECT_PAGES.table;
}

/** Bytes in a full page: LOBLKSIZE in PostgreSQL's large_object.h, a quarter of a block. */
export const LARGE_OBJECT_PAGE_BYTES = 2_048;

const BLOCK_BYTES = 4 * LARGE_OBJECT_PAGE_BYTES;

/** How many large objects a database has, and whether this session's role can read their pages. */
interface LargeObjects {
  readonly count: number;
  readonly readable: boolean;
  readonly blockBytes: number;
}

/** Counts the large objects of the session's database, and reads whether this role may read their pages. */
export async function findLargeObjects(session: Session): Promise<LargeObjects> {
  const rows = await session.query<LargeObjects>(
    `count the large objects of database "${session.database}"`,
    `SELECT (SELECT count(*)::int FROM pg_catalog.pg_largeobject_metadata) AS count,
       has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') AS readable,
       current_setting('block_size')::int AS "blockBytes"`,
  );
  return onlyRow(rows, 'the number of large objects');
}

/** True where the plan's backup holds the database's large objects. */
export function carriesLargeObjects(source: YsqlSource): boolean {
  return source.contents !== 'schema' && source.tables.include.length === 0;
}

/** Refuses a server with another page size, because a restore would put the pages in the wrong places. Throws `YSQL_CANNOT_CARRY` (permanent). */
export function requireUsualPages(blockBytes: number, database: string): void {
  if (blockBytes === BLOCK_BYTES) return;
  throw permanent(
    'YSQL_CANNOT_CARRY',
    `Database "${database}" is about large objects, and its server was built with blocks of ${blockBytes} bytes, where ${BLOCK_BYTES} are usual`,
    'Use a server with the usual block size, or leave large objects out: name the tables to include.',
  );
}

interface LargeObject {
  readonly oid: string;
  readonly owner: string;
  readonly comment: string | null;
  /** Null when the privileges are the default: the owner has all of them, and nobody else has one. */
  readonly grants: readonly Grant[] | null;
  readonly labels: readonly { readonly provider: string; readonly label: string }[];
}

interface Grant {
  readonly grantor: string;
  /** Empty for PUBLIC. */
  readonly grantee: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

const OBJECTS = `
  SELECT m.oid::text AS oid, pg_get_userbyid(m.lomowner) AS owner, obj_description(m.oid, 'pg_largeobject') AS comment,
    CASE WHEN m.lomacl IS NOT NULL THEN coalesce((SELECT json_agg(json_build_object('grantor', pg_get_userbyid(a.grantor),
      'grantee', CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, 'privilege', a.privilege_type,
      'grantable', a.is_grantable) ORDER BY a.position)
      FROM aclexplode(m.lomacl) WITH ORDINALITY a(grantor, grantee, privilege_type, is_grantable, position)), '[]') END AS grants,
    coalesce((SELECT json_agg(json_build_object('provider', l.provider, 'label', l.label))
      FROM pg_catalog.pg_seclabels l WHERE l.classoid = 'pg_catalog.pg_largeobject'::regclass AND l.objoid = m.oid), '[]') AS labels
  FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid > $1::oid ORDER BY m.oid LIMIT ${2_000}`;

/**
 * Returns the script that creates the large objects of the session's database without their content, then sets owner, privileges,
 * comment and label. It has pg_dump's form, with one entry each, so that the same code adapts it to its target as other scripts.
 */
export async function largeObjectsScript(session: Session): Promise<string> {
  const entries = ['-- Large objects, without their content.\n'];
  for (let last = '0'; ; ) {
    const doing = `read the large objects of database "${session.database}"`;
    const objects = await session.query<LargeObject>(doing, OBJECTS, [last]);
    entries.push(...objects.flatMap(entriesOf));
    const end = objects.at(-1);
    if (end === undefined) return entries.join('\n');
    last = end.oid;
  }
}

function entriesOf({ oid, owner, comment, grants, labels }: LargeObject): readonly string[] {
  const name = `LARGE OBJECT ${oid}`;
  const roleOf = (role: string) => (role === '' ? 'PUBLIC' : quoteIdentifier(role));
  return [
    entry(oid, 'BLOB', [creating(oid), `ALTER ${name} OWNER TO ${quoteIdentifier(owner)};`]),
    ...(grants === null
      ? []
      : [
          entry(name, 'ACL', [
            `REVOKE ALL ON ${name} FROM ${quoteIdentifier(owner)};`,
            ...grants.flatMap(({ grantor, grantee, privilege, grantable }) => {
              const grant = `GRANT ${privilege} ON ${name} TO ${roleOf(grantee)}${grantable ? ' WITH GRANT OPTION' : ''};`;
              if (grantor === owner) return [grant];
              return [
                `SET SESSION AUTHORIZATION ${quoteIdentifier(grantor)};`,
                grant,
                'RESET SESSION AUTHORIZATION;',
              ];
            }),
          ]),
        ]),
    ...(comment === null
      ? []
      : [entry(name, 'COMMENT', [`COMMENT ON ${name} IS ${quoteLiteral(comment)};`])]),
    ...labels.map(({ provider, label }) =>
      entry(name, 'SECURITY LABEL', [
        `SECURITY LABEL FOR ${quoteIdentifier(provider)} ON ${name} IS ${quoteLiteral(label)};`,
      ]),
    ),
  ];
}

/** Creates the object unless it exists, so that the script can run again. */
function creating(oid: string): string {
  return `SELECT pg_catalog.lo_create('${oid}') WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata WHERE oid = '${oid}');`;
}

function entry(name: string, type: string, statements: readonly string[]): string {
  return `--\n-- Name: ${name}; Type: ${type}; Schema: -; Owner: -\n--\n\n${statements.join('\n')}\n`;
}
