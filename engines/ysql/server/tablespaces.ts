import { readDump } from './dump-script.ts';
import type { Session } from './session.ts';
import type { Statement, Token } from './sql-text.ts';

/** Returns the names of all tablespaces of the server. */
export async function existingTablespaces(session: Session): Promise<ReadonlySet<string>> {
  const rows = await session.query<{ name: string }>(
    'list the tablespaces',
    'SELECT spcname AS name FROM pg_catalog.pg_tablespace',
  );
  return new Set(rows.map(({ name }) => name));
}

const SETTING = /^SET default_tablespace = (?:"(?<quoted>(?:[^"]|"")+)"|(?<plain>[A-Za-z_]\w*));$/;

/** Returns the tablespace that `SET default_tablespace = …;` names; undefined for the default one and for every other statement. */
function settingTablespace(setting: string): string | undefined {
  const { quoted, plain } = SETTING.exec(setting)?.groups ?? {};
  return quoted?.replaceAll('""', '"') ?? plain;
}

/** Replaces a tablespace that this server lacks with the default one. @param setting a statement of a dump, with its semicolon. */
export function withKnownTablespace(setting: string, tablespaces: ReadonlySet<string>): string {
  const tablespace = settingTablespace(setting);
  return tablespace === undefined || tablespaces.has(tablespace) ? setting : "SET default_tablespace = '';";
}

/** The name in `CREATE DATABASE … TABLESPACE = name`, with the place of the word before it. */
function tablespaceOfDatabase({
  tokens,
}: Statement): { readonly at: number; readonly name: Token } | undefined {
  const at = tokens.findIndex(
    ({ kind, text }, place) => kind === 'word' && text === 'tablespace' && tokens[place + 1]?.text === '=',
  );
  const name = tokens[at + 2];
  return at < 0 || name === undefined ? undefined : { at, name };
}

/** Returns the tablespace of the database that the statement creates; undefined for the default one and for every other statement. Pure. */
export function databaseTablespace(statement: Statement): string | undefined {
  return statement.tokens[0]?.text === 'create' ? tablespaceOfDatabase(statement)?.name.text : undefined;
}

/** Leaves out a tablespace of `CREATE DATABASE` that this server lacks. Pure. */
export function inKnownTablespace(statement: Statement, tablespaces: ReadonlySet<string>): Statement {
  const found = tablespaceOfDatabase(statement);
  const word = found === undefined ? undefined : statement.tokens[found.at];
  if (found === undefined || word === undefined || tablespaces.has(found.name.text)) return statement;
  const { start, text } = statement;
  const [from, to] = [word.start - start, found.name.end - start];
  // Spaces keep the offsets of all other tokens.
  return { ...statement, text: text.slice(0, from) + ' '.repeat(to - from) + text.slice(to) };
}

/** Returns the tablespaces that a dump's statements set and this server lacks. Pure. */
export function missingTablespaces(
  settings: Iterable<string>,
  tablespaces: ReadonlySet<string>,
): readonly string[] {
  const missing = new Set<string>();
  for (const setting of settings) {
    const name = settingTablespace(setting);
    if (name !== undefined && !tablespaces.has(name)) missing.add(name);
  }
  return [...missing].sort();
}

/**
 * Creates the tablespaces of an `ysql_dumpall` script that the universe lacks, and runs the script's other statements about them.
 * On YugabyteDB a tablespace is a placement rule, not a folder of a machine. The session must not be in a transaction.
 */
export async function createMissingTablespaces(session: Session, script: string): Promise<void> {
  const existing = await existingTablespaces(session);
  for (const { statement } of readDump(script).steps) {
    const tablespace = tablespaceOf(statement);
    if (tablespace === undefined || existing.has(tablespace)) continue;
    await session.query(`create tablespace "${tablespace}"`, statement.text);
  }
}

/** Returns the tablespace that a statement creates, alters, comments on or grants; undefined for everything else. */
function tablespaceOf({ tokens }: Statement): string | undefined {
  const [first] = tokens;
  if (!['create', 'alter', 'comment', 'grant', 'revoke'].includes(first?.text ?? '')) return undefined;
  const at = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'tablespace');
  // In a statement about another object the word may come later: `ALTER DATABASE x SET TABLESPACE y`.
  const before = tokens[at - 1]?.text;
  return at === 1 || before === 'on' ? tokens[at + 1]?.text : undefined;
}
