import { readDump } from './dump-script.ts';
import type { Session } from './session.ts';
import type { Statement } from './sql-text.ts';

export async function existingTablespaces(session: Session): Promise<ReadonlySet<string>> {
  const rows = await session.query<{ name: string }>(
    'list the tablespaces',
    'SELECT spcname AS name FROM pg_catalog.pg_tablespace',
  );
  return new Set(rows.map(({ name }) => name));
}

const SETTING = /^SET default_tablespace = (?:"(?<quoted>(?:[^"]|"")+)"|(?<plain>[A-Za-z_]\w*));$/;

/** The tablespace that `SET default_tablespace = …;` names; undefined for the default one and for every other statement. */
function settingTablespace(setting: string): string | undefined {
  const { quoted, plain } = SETTING.exec(setting)?.groups ?? {};
  return quoted?.replaceAll('""', '"') ?? plain;
}

/** Objects of a tablespace that this server lacks go to the default one. @param setting a statement of a dump, with its semicolon. */
export function withKnownTablespace(setting: string, tablespaces: ReadonlySet<string>): string {
  const tablespace = settingTablespace(setting);
  return tablespace === undefined || tablespaces.has(tablespace) ? setting : "SET default_tablespace = '';";
}

/** Tablespaces that statements of a dump set and this server lacks. Pure. */
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
 * Creates the tablespaces of a script of `ysql_dumpall` that the universe lacks, with what the script says of them besides. On
 * YugabyteDB a tablespace is a rule of placement, no folder of a machine. Outside of a transaction, as it has to be.
 */
export async function createMissingTablespaces(session: Session, script: string): Promise<void> {
  const existing = await existingTablespaces(session);
  for (const { statement } of readDump(script).steps) {
    const tablespace = tablespaceOf(statement);
    if (tablespace === undefined || existing.has(tablespace)) continue;
    await session.query(`create tablespace "${tablespace}"`, statement.text);
  }
}

/** The tablespace that a statement creates, alters, comments on or grants; undefined for everything else. */
function tablespaceOf({ tokens }: Statement): string | undefined {
  const [first] = tokens;
  if (!['create', 'alter', 'comment', 'grant', 'revoke'].includes(first?.text ?? '')) return undefined;
  const at = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'tablespace');
  // Of a role or database it may be a word further on: `ALTER DATABASE x SET TABLESPACE y`.
  const before = tokens[at - 1]?.text;
  return at === 1 || before === 'on' ? tokens[at + 1]?.text : undefined;
}
