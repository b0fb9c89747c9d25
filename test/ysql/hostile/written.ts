import { type HostileSchema, type HostileTable, literal, quoted } from './schema.ts';

/** What a reader of the dump should find, in order. */
export interface Expected {
  readonly type: string;
  /** With its semicolon, every name in quotes. */
  readonly statement: string;
}

export interface WrittenDump {
  readonly script: string;
  readonly expected: readonly Expected[];
}

export interface Writing {
  readonly quotesUsingIndex: boolean;
  readonly guards: boolean;
  readonly roleChecks: boolean;
  readonly restrict: boolean;
}

/**
 * The dump of a schema as ysql_dump writes it (section 9 of the facts on the programs), and beside it what it says: the oracle shares
 * no code with the reader. Names that the real program leaves bare are bare in the script alone.
 */
export function written(model: HostileSchema, writing: Writing): WrittenDump {
  const parts: string[] = [];
  const expected: Expected[] = [];
  const schema = quoted(model.schema);
  const entry = (type: string, name: string, inSchema: string, owner: string, more = '') =>
    parts.push(
      `--\n-- Name: ${flat(name)}; Type: ${type}; Schema: ${flat(inSchema)}; Owner: ${flat(owner)}${more}\n--\n\n`,
    );
  const say = (type: string, statement: string, asWritten = statement) => {
    parts.push(`${asWritten};\n\n\n`);
    expected.push({ type, statement: `${statement};` });
  };
  const [off, on] = writing.restrict ? ['\\unrestrict KEY\n', '\\restrict KEY\n'] : ['', ''];
  const guarded = (type: string, statement: string, role: string) => {
    expected.push({ type, statement: `${statement};` });
    if (!writing.guards) return parts.push(`${statement};\n\n`);
    const inner = writing.roleChecks
      ? `SELECT EXISTS(SELECT 1 FROM pg_roles WHERE rolname = ${literal(role)}) AS role_exists \\gset\n\\if :role_exists\n    ${statement};\n` +
        `\\else\n    \\echo 'Skipping owner privilege due to missing role:' ${quoted(role)}\n\\endif\n`
      : `${statement};\n`;
    return parts.push(`${off}\\if :use_roles\n${on}${inner}${off}\\endif\n${on}\n`);
  };
  parts.push(
    `--\n-- YSQL database dump\n--\n\n${on}SET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n`,
  );
  expected.push({ type: '', statement: 'SET statement_timeout = 0;' });
  expected.push({ type: '', statement: "SELECT pg_catalog.set_config('search_path', '', false);" });
  if (writing.guards) {
    for (const name of ['use_tablespaces', 'use_roles']) {
      parts.push(`${off}\\if :{?${name}}\n\\else\n\\set ${name} true\n\\endif\n${on}\n`);
    }
  }
  entry('SCHEMA', model.schema, '-', model.owner);
  say('SCHEMA', `CREATE SCHEMA ${schema}`);
  for (const tablegroup of model.tablegroups) {
    entry('TABLEGROUP', tablegroup, '-', model.owner);
    say('TABLEGROUP', `CREATE TABLEGROUP ${quoted(tablegroup)}`, `CREATE TABLEGROUP ${tablegroup}`);
    guarded(
      'TABLEGROUP',
      `ALTER TABLEGROUP ${quoted(tablegroup)} OWNER TO ${quoted(model.owner)}`,
      model.owner,
    );
  }
  entry('FUNCTION', `${quoted(model.routine.name)}(text)`, model.schema, model.owner);
  const tag = dollarTag(model.routine.body);
  say(
    'FUNCTION',
    `CREATE FUNCTION ${schema}.${quoted(model.routine.name)}(${quoted(model.routine.argument)} text) RETURNS text\n    LANGUAGE sql\n    AS ${tag}${model.routine.body}${tag}`,
  );
  entry('COMMENT', `FUNCTION ${quoted(model.routine.name)}(text)`, model.schema, model.owner);
  say(
    'COMMENT',
    `COMMENT ON FUNCTION ${schema}.${quoted(model.routine.name)}(text) IS ${literal(model.routine.comment)}`,
  );
  for (const table of model.tables) writeTable(model, table, { entry, say, guarded });
  for (const table of model.tables) writeConstraints(model, table, writing, { entry, say, guarded });
  parts.push('--\n-- YSQL database dump complete\n--\n\n', off);
  return { script: parts.join(''), expected };
}

interface Pen {
  entry(type: string, name: string, inSchema: string, owner: string, more?: string): void;
  say(type: string, statement: string, asWritten?: string): void;
  guarded(type: string, statement: string, role: string): void;
}

function writeTable(
  { schema, owner, reader, tablespace }: HostileSchema,
  table: HostileTable,
  pen: Pen,
): void {
  const qualified = `${quoted(schema)}.${quoted(table.name)}`;
  pen.say('', `SET default_tablespace = ${table.tablespace === undefined ? "''" : quoted(tablespace)}`);
  pen.entry(
    'TABLE',
    table.name,
    schema,
    owner,
    table.tablespace === undefined ? '' : `; Tablespace: ${flat(tablespace)}`,
  );
  const columns = table.columns.map(
    (column, at) => `    ${quoted(column)} text${at === 0 ? ` DEFAULT ${literal(table.text)}::text` : ''}`,
  );
  const create = `CREATE TABLE ${qualified} (\n${columns.join(',\n')}\n)`;
  const group = table.tablegroup;
  pen.say(
    'TABLE',
    `${create}${group === undefined ? '' : `\nTABLEGROUP ${quoted(group)}`}`,
    `${create}${group === undefined ? '' : `\nTABLEGROUP ${group}`}`,
  );
  pen.guarded('TABLE', `ALTER TABLE ${qualified} OWNER TO ${quoted(owner)}`, owner);
  if (table.comment !== undefined) {
    pen.entry('COMMENT', `TABLE ${quoted(table.name)}`, schema, owner);
    pen.say('COMMENT', `COMMENT ON TABLE ${qualified} IS ${literal(table.comment)}`);
  }
  pen.entry('ACL', `TABLE ${quoted(table.name)}`, schema, owner);
  pen.guarded('ACL', `GRANT SELECT ON TABLE ${qualified} TO ${quoted(reader)}`, reader);
}

function writeConstraints(
  { schema, owner }: HostileSchema,
  table: HostileTable,
  writing: Writing,
  pen: Pen,
): void {
  const qualified = `${quoted(schema)}.${quoted(table.name)}`;
  for (const { name, columns, deferrable } of table.unique) {
    pen.entry('CONSTRAINT', `${table.name} ${name}`, schema, owner);
    const list = columns.map((column, at) => `${quoted(column)} ${at === 0 ? 'HASH' : 'ASC'}`).join(', ');
    pen.say(
      'CONSTRAINT',
      `CREATE UNIQUE INDEX NONCONCURRENTLY ${quoted(name)} ON ${qualified} USING lsm (${list})`,
    );
    const add = `ALTER TABLE ONLY ${qualified}\n    ADD CONSTRAINT ${quoted(name)} UNIQUE USING INDEX `;
    const rest = deferrable ? ' DEFERRABLE' : '';
    pen.say(
      'CONSTRAINT',
      `${add}${quoted(name)}${rest}`,
      `${add}${writing.quotesUsingIndex ? quoted(name) : name}${rest}`,
    );
  }
  if (table.index !== undefined) {
    pen.entry('INDEX', table.index, schema, owner);
    pen.say(
      'INDEX',
      `CREATE INDEX ${quoted(table.index)} ON ${qualified} USING lsm (${quoted(table.columns[0] ?? '')} HASH)`,
    );
  }
}

/** The program writes a space for each end of a line (sanitize_line). */
function flat(text: string): string {
  return text.replaceAll(/[\r\n]/g, ' ');
}

function dollarTag(body: string): string {
  let tag = '$_$';
  for (let at = 0; body.includes(tag.slice(0, -1)); at += 1) tag = `$_${at}X$`;
  return tag;
}
