import type { Statement, Token } from './sql-text.ts';

/** What pg_dump's comment before an object says about it. */
export interface DumpHeader {
  /** pg_dump's tag, e.g. `orders orders_pkey` for a constraint, with spaces in place of line breaks. */
  readonly name: string;
  /** e.g. `TABLE`, `FK CONSTRAINT`, `INDEX`, `ACL`. */
  readonly type: string;
  /** Undefined for objects outside of schemas. */
  readonly schema: string | undefined;
  /** Undefined where the object has no owner. */
  readonly owner: string | undefined;
}

/** More readings than a header can have, since the server truncates names after 63 bytes. */
const MAX_READINGS = 1000;

const BEGIN = /^-- (?:Data for |Statistics for )?Name: /;
const TYPE = /; Type: (?<type>[A-Z ]+); Schema: /g;
const OWNER = '; Owner: ';

/**
 * Returns every reading of a comment as a header. pg_dump writes names into it unescaped, so a name that holds `; Type: TABLE;
 * Schema: …` adds a reading. Empty when the comment is no header. Pure.
 */
export function headerReadings(comment: string): readonly DumpHeader[] {
  const begin = BEGIN.exec(comment)?.[0].length;
  if (begin === undefined) return [];
  const readings: DumpHeader[] = [];
  for (const match of comment.matchAll(TYPE)) {
    const rest = match.index + match[0].length;
    for (let at = comment.indexOf(OWNER, rest); at >= 0; at = comment.indexOf(OWNER, at + 1)) {
      if (readings.length >= MAX_READINGS) return readings;
      const [owner = ''] = comment.slice(at + OWNER.length).split('; Tablespace: ');
      const schema = comment.slice(rest, at);
      readings.push({
        name: comment.slice(begin, match.index),
        type: match.groups?.type ?? '',
        schema: schema === '-' ? undefined : schema,
        owner: owner === '' || owner === '-' ? undefined : owner,
      });
    }
  }
  return readings;
}

/** The words that a statement of each type begins with. All other types begin with `CREATE` and the words of the type. */
const BEGINS: Readonly<Record<string, readonly string[]>> = {
  ACL: ['grant', 'revoke', 'set'],
  'DEFAULT ACL': ['alter default'],
  COMMENT: ['comment'],
  'SECURITY LABEL': ['security label'],
  CONSTRAINT: ['alter table', 'create unique index'],
  'FK CONSTRAINT': ['alter table'],
  'CHECK CONSTRAINT': ['alter table', 'alter domain'],
  DEFAULT: ['alter table', 'alter foreign table'],
  'ROW SECURITY': ['alter table'],
  'TABLE ATTACH': ['alter table'],
  'INDEX ATTACH': ['alter index'],
  'SEQUENCE OWNED BY': ['alter sequence'],
  'SEQUENCE SET': ['select'],
  'DATABASE PROPERTIES': ['alter database', 'alter role', 'update'],
  'MATERIALIZED VIEW DATA': ['refresh'],
  'STATISTICS DATA': ['select'],
  TABLE: ['create table', 'create unlogged table'],
  INDEX: ['create index', 'create unique index'],
  VIEW: ['create view', 'create or replace view'],
  'SHELL TYPE': ['create type'],
  TYPE: ['create type'],
  'PUBLICATION TABLE': ['alter publication'],
  'PUBLICATION TABLES IN SCHEMA': ['alter publication'],
  LANGUAGE: ['create language', 'create trusted', 'create or replace'],
  'PROCEDURAL LANGUAGE': ['create language', 'create trusted', 'create or replace'],
};

/** Types whose tag is only the object's name. `NAMED_ON_TABLE` has those whose tag is a table's name and the object's. */
const NAMED = new Set([
  'TABLE',
  'INDEX',
  'VIEW',
  'SEQUENCE',
  'SCHEMA',
  'TABLEGROUP',
  'TYPE',
  'DOMAIN',
  'MATERIALIZED VIEW',
  'DATABASE',
]);
const NAMED_ON_TABLE = new Set([
  'CONSTRAINT',
  'FK CONSTRAINT',
  'CHECK CONSTRAINT',
  'DEFAULT',
  'TRIGGER',
  'POLICY',
  'RULE',
]);

/** True when the first statement of an entry agrees with its header: kind of object, schema and name. */
export function agrees(header: DumpHeader, { tokens }: Statement): boolean {
  const { type, schema, name } = header;
  const begins = BEGINS[type] ?? [`create ${type.toLowerCase()}`];
  const first = tokens.slice(0, 4).map(({ kind, text }) => (kind === 'word' ? text : ''));
  if (!begins.some((words) => words.split(' ').every((word, at) => first[at] === word))) return false;
  const names = tokens
    .filter(({ kind }) => kind === 'word' || kind === 'name')
    .map(({ text }) => text.replaceAll(/[\r\n]/g, ' '));
  if (schema !== undefined && !names.includes(schema)) return false;
  if (NAMED_ON_TABLE.has(type)) {
    return names.some(
      (table) => name.startsWith(`${table} `) && names.includes(name.slice(table.length + 1)),
    );
  }
  if (!NAMED.has(type)) return true;
  if (type !== 'TABLE') return names.includes(name);
  const table = tokens.findIndex(({ text }) => text === 'table');
  const [inSchema, , named] = tokens.slice(table + 1, table + 4);
  return isWritten(inSchema, schema) && isWritten(named, name);
}

/** Compares a token with a name in a header, where pg_dump replaces each line break with a space. */
function isWritten(token: Token | undefined, inHeader: string | undefined): boolean {
  return token?.text.replaceAll(/[\r\n]/g, ' ') === inHeader;
}
