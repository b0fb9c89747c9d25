import { CLIENT_LINES, type ClientLine } from './client-lines.ts';
import { DDL_WORDS, translateDdl } from './ddl.ts';
import { NEUTRAL_FUNCTIONS, PROGRAM_SETTINGS } from './program-dialect.ts';
import { literal, replaceRanges, type Statement, statements, type Token } from './sql.ts';

/** The answer of `version()` on a node of this line. */
const versionText = ({ version }: ClientLine) =>
  `PostgreSQL ${version} on x86_64-pc-linux-gnu, compiled by clang version 17.0.6, 64-bit`;

/**
 * YugabyteDB's own settings with their defaults. The upstream stores them as custom settings named `yb.…`, so that `SET LOCAL`, rollback,
 * `RESET`, `SHOW`, start-up options and `ALTER ROLE … SET` behave as in YugabyteDB.
 */
export const SETTINGS: Readonly<Record<string, string>> = {
  yb_read_time: '0',
  yb_default_copy_from_rows_per_transaction: '20000',
  yb_disable_transactional_writes: 'off',
  ...Object.fromEntries(PROGRAM_SETTINGS.map(({ name, value }) => [name, value])),
};

/** The upstream's name for a setting such as `yb_read_time`. */
export function upstreamSetting(name: string): string {
  return name.replace(/^yb_/, 'yb.');
}

/** Functions whose answers differ between YugabyteDB and PostgreSQL (install.ts). */
const SIZE_FUNCTIONS: Readonly<Record<string, string>> = {
  pg_table_size: 'pg_catalog.yb_stand_in_table_size',
  pg_relation_size: 'pg_catalog.yb_stand_in_relation_size',
};

/** Statements that define objects keep their text, because their content belongs to the user. */
const DEFINITIONS: ReadonlySet<string> = new Set(['create', 'comment', 'insert', 'update', 'do', 'security']);

/** Translates a text of one or more statements from YugabyteDB's dialect to PostgreSQL's. */
export function translate(sql: string, line: ClientLine = CLIENT_LINES['2025.2']): string {
  if (
    !/yb_|version|rows_per_transaction|binary_upgrade_|pg_(?:table|relation)_size/i.test(sql) &&
    !DDL_WORDS.test(sql)
  )
    return sql;
  return statements(sql)
    .map((statement) => translateStatement(statement, line))
    .join('; ');
}

function translateStatement(statement: Statement, line: ClientLine): string {
  const { sql, tokens } = statement;
  const first = tokens[0]?.text ?? '';
  const ddl = translateDdl(statement);
  if (ddl !== undefined) return ddl;
  if (DEFINITIONS.has(first)) return sql;
  if (first === 'show' && tokens[1]?.text === 'server_version') {
    return `SELECT '${line.version}'::text AS server_version`;
  }
  const edits = tokens.flatMap((_, index) => translateToken(tokens, index, line));
  return replaceRanges(sql, first === 'copy' ? [...edits, ...copyOptionEdits(tokens)] : edits);
}

type Edit = { readonly start: number; readonly end: number; readonly with: string };

function translateToken(tokens: readonly Token[], index: number, line: ClientLine): readonly Edit[] {
  const token = tokens[index];
  if (token === undefined) return [];
  const next = tokens[index + 1];
  if (token.kind === 'word' && token.text === 'pg_yb_tablegroup') {
    // The upstream's catalogue accepts no new tables.
    return [
      { start: startOfName(tokens, index), end: token.end, with: 'information_schema.pg_yb_tablegroup' },
    ];
  }
  const close = next?.text === '(' ? closingParenthesis(tokens, index + 1) : undefined;
  if (token.text === 'version' && close !== undefined && close === tokens[index + 2]) {
    return [
      {
        start: startOfName(tokens, index),
        end: close.end,
        with: `(SELECT '${versionText(line)}'::text AS version)`,
      },
    ];
  }
  const sizeFunction = SIZE_FUNCTIONS[token.text];
  if (sizeFunction !== undefined && close !== undefined) {
    return [{ start: startOfName(tokens, index), end: token.end, with: sizeFunction }];
  }
  if (token.text === 'yb_hash_code' && next !== undefined && close !== undefined) {
    // PostgreSQL 11 can't hash rows, so hash their texts.
    const [open, end] =
      line.major === 11 ? ['hashtextextended(ROW(', ')::text, 0)'] : ['hash_record_extended(ROW(', '), 0)'];
    return [
      { start: startOfName(tokens, index), end: next.end, with: `(pg_catalog.${open}` },
      { start: close.start, end: close.end, with: `${end} & 65535)::int4` },
    ];
  }
  if (NEUTRAL_FUNCTIONS.test(token.text) && close !== undefined) {
    return [{ start: startOfName(tokens, index), end: close.end, with: 'NULL::text' }];
  }
  if (
    token.text === 'current_setting' &&
    literal(tokens[index + 2]) === 'server_version' &&
    close !== undefined
  ) {
    return [{ start: startOfName(tokens, index), end: close.end, with: `'${line.version}'::text` }];
  }
  const setting = token.kind === 'string' ? literal(token) : token.text;
  if (setting === undefined || !(setting in SETTINGS) || !namesSetting(tokens, index)) return [];
  const upstream = upstreamSetting(setting);
  return [{ start: token.start, end: token.end, with: token.kind === 'string' ? `'${upstream}'` : upstream }];
}

/** True in `SET x`, `SET LOCAL x`, `SHOW x`, `RESET x`, `current_setting('x'` and `set_config('x'`. */
function namesSetting(tokens: readonly Token[], index: number): boolean {
  const before = tokens[index - 1]?.text ?? '';
  if (tokens[index]?.kind === 'word') {
    if (['grant', 'revoke'].includes(tokens[0]?.text ?? '')) return true;
    return ['set', 'session', 'local', 'show', 'reset'].includes(before);
  }
  return before === '(' && ['current_setting', 'set_config'].includes(tokens[index - 2]?.text ?? '');
}

/** `pg_catalog.f` starts at `pg_catalog`. */
function startOfName(tokens: readonly Token[], index: number): number {
  const qualified = tokens[index - 1]?.text === '.' && tokens[index - 2]?.text === 'pg_catalog';
  return tokens[qualified ? index - 2 : index]?.start ?? 0;
}

function closingParenthesis(tokens: readonly Token[], open: number): Token | undefined {
  let depth = 0;
  for (const token of tokens.slice(open)) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth === 0) return token;
  }
  return undefined;
}

/** Removes COPY options that PostgreSQL doesn't have: it ignores how many rows YugabyteDB puts into a transaction. */
function copyOptionEdits(tokens: readonly Token[]): readonly Edit[] {
  const index = tokens.findIndex((token) => token.text === 'rows_per_transaction');
  const [before, option, value, after] = tokens.slice(index - 1, index + 3);
  if (index < 1 || before === undefined || option === undefined || value === undefined) return [];
  if (before.text === ',') return [{ start: before.start, end: value.end, with: '' }];
  if (after?.text === ',') return [{ start: option.start, end: after.end, with: '' }];
  const withWord = tokens[index - 2];
  const start = withWord?.text === 'with' ? withWord.start : before.start;
  return [{ start, end: after?.end ?? value.end, with: '' }];
}

/**
 * Returns the instant that `SET [LOCAL|SESSION] yb_read_time = …` names, in microseconds since 1970, and `0n` for the present. `micros` is `'invalid'` when
 * the text is not an instant; the result is undefined when the statement doesn't set it. `'<n> ht'` is a hybrid time, whose low 12 bits are a logical clock
 * below the microseconds.
 */
export function readTimeOf(
  statement: Statement,
): { readonly text: string; readonly micros: bigint | 'invalid' } | undefined {
  const words = statement.tokens.map((token) => token.text);
  if (words[0] !== 'set') return undefined;
  const at = words[1] === 'local' || words[1] === 'session' ? 2 : 1;
  if (words[at] !== 'yb_read_time') return undefined;
  const value = statement.tokens[at + 2];
  const text = literal(value) ?? value?.text ?? '';
  return { text, micros: text === 'default' ? 0n : instant(text) };
}

/** Parses a value of `yb_read_time` into microseconds since 1970. */
export function instant(text: string): bigint | 'invalid' {
  const match = /^\s*(\d+)\s*(ht)?\s*$/.exec(text);
  if (match?.[1] === undefined) return 'invalid';
  return match[2] === undefined ? BigInt(match[1]) : BigInt(match[1]) >> 12n;
}
