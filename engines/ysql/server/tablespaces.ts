import { readDump } from './dump-script.ts';
import type { Session } from './session.ts';
import type { Statement } from './sql-text.ts';

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
