import { permanent } from '../../../model/errors.ts';
import { quoteIdentifier, quoteTable, tableName } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import type { RelationMessage } from './messages.ts';

/** A column of the target that the archive has values of. */
export interface TargetColumn {
  readonly name: string;
  /** Its place in a tuple of the stream. */
  readonly position: number;
  /** As `format_type` writes it, qualified where the search path doesn't have it. */
  readonly type: string;
  /** True where an array of the type can be taken apart without taking its values apart, and has commas between them. */
  readonly isElement: boolean;
  /** `GENERATED ALWAYS AS IDENTITY`: an UPDATE can't set it. */
  readonly isAlwaysIdentity: boolean;
}

export interface KeyColumn extends TargetColumn {
  /** The operator of the key's index that calls two values equal, qualified. */
  readonly equals: string;
}

/** A table of the target as replay needs to know it. */
export interface TargetTable {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly TargetColumn[];
  /** Absent: rows are known by all of their values. */
  readonly key?: readonly KeyColumn[];
  /**
   * True where rows can't be changed one by one: another constraint could refuse a state in between, or a column can't be set
   * by UPDATE. Then all rows that a batch changes are removed before any is inserted.
   */
  readonly replacesRows: boolean;
  /** False where policies decide on its rows, which COPY refuses for a role that they bind. */
  readonly takesCopy: boolean;
  /** Triggers that fire in a session of replication too, by quoted name, with the clause that gives each its state back. */
  readonly triggers: readonly { readonly name: string; readonly clause: string }[];
}

/** Below it the number of a type is the same in every version; from it on the server gives numbers, also to types of information_schema. */
const FIRST_GIVEN_OID = 10_000;

interface ColumnRow {
  readonly name: string;
  readonly type: string;
  readonly oid: number;
  readonly modifier: number;
  readonly isElement: boolean;
  readonly identity: string;
  readonly generated: string;
  readonly isRequired: boolean;
}

interface IndexRow {
  readonly columns: readonly string[];
  readonly operators: readonly string[];
  readonly isPrimary: boolean;
  /** Its columns alone identify a row, at once: no expression, no condition, not deferrable, not an exclusion. */
  readonly isPlain: boolean;
}

/**
 * Reads what `relation` is in the target. Throws `REPLAY_SCHEMA_CHANGED` (permanent) where the target's table differs from what the
 * stream describes, so that its rows would not fit.
 */
export async function readTargetTable(session: Session, relation: RelationMessage): Promise<TargetTable> {
  const [found] = await session.query<{ oid: string; kind: string; policed: boolean }>(
    `look for ${tableName(relation)}`,
    'SELECT c.oid::text AS oid, c.relkind AS kind, c.relrowsecurity AS policed FROM pg_catalog.pg_class c WHERE c.oid = to_regclass($1)',
    [quoteTable(relation)],
  );
  if (found === undefined) throw changed(relation, 'the restored database has no such table');
  if (found.kind === 'p') {
    throw permanent(
      'REPLAY_PARTITION_ROOT',
      `The archive holds the rows of ${tableName(relation)}'s partitions as the parent's own, which replay can't count by partition`,
      'Archive with publish_via_partition_root off, and restore a backup for now.',
    );
  }
  const columns = await readColumns(session, relation, found.oid);
  const indexes = await readIndexes(session, relation, found.oid);
  const own = indexes.find((index) => isKeyOf(index, relation, columns));
  const stored = new Map(columns.map((column) => [column.name, column]));
  const key = own?.columns.flatMap((name, at): readonly KeyColumn[] => {
    const column = stored.get(name);
    const equals = own.operators[at];
    return column === undefined || equals === undefined ? [] : [{ ...column, equals }];
  });
  // A table without identity has nothing but inserts in the stream.
  const isKeyed = relation.identity !== 'f' && relation.columns.some(({ isKey }) => isKey);
  if (isKeyed && (key === undefined || key.length !== own?.columns.length)) {
    throw changed(relation, 'the restored table has no unique index on the columns that identify a row');
  }
  const keyNames = new Set(key?.map(({ name }) => name));
  return {
    schema: relation.schema,
    table: relation.table,
    columns,
    ...(key === undefined ? {} : { key }),
    replacesRows:
      indexes.some((index) => index !== own) ||
      columns.some(({ name, isAlwaysIdentity }) => isAlwaysIdentity && !keyNames.has(name)),
    takesCopy: !found.policed,
    triggers: await readTriggers(session, relation, found.oid),
  };
}

async function readColumns(
  session: Session,
  relation: RelationMessage,
  oid: string,
): Promise<readonly TargetColumn[]> {
  const rows = await session.query<ColumnRow>(
    `read the columns of ${tableName(relation)}`,
    `SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.atttypid::int AS oid,
       a.atttypmod AS modifier, t.typarray <> 0 AND t.typcategory <> 'A' AND t.typdelim = ',' AS "isElement", a.attidentity AS identity,
       a.attgenerated AS generated, a.attnotnull AS "isRequired"
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [oid],
  );
  const archived = new Map(relation.columns.map((column, position) => [column.name, { column, position }]));
  const columns: TargetColumn[] = [];
  for (const { name, type, oid: typeOid, modifier, isElement, identity, generated } of rows) {
    const source = archived.get(name);
    archived.delete(name);
    // The target computes it from the others. From PostgreSQL 18 on a publication may hold it all the same.
    if (generated !== '') continue;
    if (source === undefined)
      throw changed(relation, `the archive has no column "${name}", which the restored table has`);
    const { column, position } = source;
    // Those have other numbers in another database.
    const isSameType =
      column.typeOid < FIRST_GIVEN_OID ? column.typeOid === typeOid : typeOid >= FIRST_GIVEN_OID;
    if (!isSameType || column.typeModifier !== modifier)
      throw changed(relation, `column "${name}" has another type, the restored one is ${type}`);
    columns.push({ name, position, type, isElement, isAlwaysIdentity: identity === 'a' });
  }
  const [more] = archived.keys();
  if (more !== undefined)
    throw changed(relation, `the archive has a column "${more}", which the restored table lacks`);
  return columns;
}

/** Every index by which a row may be refused because of another one. */
async function readIndexes(
  session: Session,
  relation: RelationMessage,
  oid: string,
): Promise<readonly IndexRow[]> {
  return await session.query<IndexRow>(
    `read the indexes of ${tableName(relation)}`,
    `SELECT i.indisprimary AS "isPrimary",
       i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion AS "isPlain",
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE k.at <= i.indnkeyatts ORDER BY k.at) AS columns,
       ARRAY(SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS k(class, at)
         JOIN pg_catalog.pg_opclass c ON c.oid = k.class
         JOIN pg_catalog.pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
           AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
         JOIN pg_catalog.pg_operator o ON o.oid = m.amopopr JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
         WHERE k.at <= i.indnkeyatts ORDER BY k.at) AS operators
     FROM pg_catalog.pg_index i WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion)
     ORDER BY i.indisprimary DESC, i.indexrelid`,
    [oid],
  );
}

/** Whether the index identifies the rows that the stream means. With the whole row as identity, any key that is never NULL does. */
function isKeyOf(index: IndexRow, relation: RelationMessage, columns: readonly TargetColumn[]): boolean {
  if (!index.isPlain || index.columns.length !== index.operators.length) return false;
  if (relation.identity === 'f') {
    return index.isPrimary && index.columns.every((name) => columns.some((column) => column.name === name));
  }
  const wanted = relation.columns.filter(({ isKey }) => isKey).map(({ name }) => name);
  return wanted.length === index.columns.length && wanted.every((name) => index.columns.includes(name));
}

const TRIGGER_CLAUSES: Readonly<Record<string, string>> = { R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' };

async function readTriggers(
  session: Session,
  relation: RelationMessage,
  oid: string,
): Promise<TargetTable['triggers']> {
  const rows = await session.query<{ name: string; enabled: string }>(
    `read the triggers of ${tableName(relation)}`,
    `SELECT tgname AS name, tgenabled AS enabled FROM pg_catalog.pg_trigger
     WHERE tgrelid = $1 AND NOT tgisinternal AND tgenabled IN ('R', 'A') ORDER BY tgname`,
    [oid],
  );
  return rows.flatMap(({ name, enabled }) => {
    const clause = TRIGGER_CLAUSES[enabled];
    return clause === undefined ? [] : [{ name: quoteIdentifier(name), clause }];
  });
}

function changed(relation: RelationMessage, problem: string): Error {
  return permanent(
    'REPLAY_SCHEMA_CHANGED',
    `The archive describes table ${tableName(relation)} otherwise than the backup: ${problem}`,
    'The schema was changed after the backup: restore an instant before that change, or one that a later backup reaches.',
  );
}
