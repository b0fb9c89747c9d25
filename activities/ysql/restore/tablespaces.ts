import type { Session } from '../session.ts';
import { type Statement, scriptParts } from '../sql-text.ts';

export async function existingTablespaces(session: Session): Promise<ReadonlySet<string>> {
  const rows = await session.query<{ name: string }>(
    'list the tablespaces',
    'SELECT spcname AS name FROM pg_catalog.pg_tablespace',
  );
  return new Set(rows.map(({ name }) => name));
}

/** Objects of a tablespace that this server lacks go to the default one. @param setting a statement of a dump, with its semicolon. */
export function withKnownTablespace(setting: string, tablespaces: ReadonlySet<string>): string {
  const [, tablespace] =
    /^SET default_tablespace = (?:"((?:[^"]|"")+)"|(\w+));$/.exec(setting)?.filter(Boolean) ?? [];
  const missing = tablespace !== undefined && !tablespaces.has(tablespace.replaceAll('""', '"'));
  return missing ? "SET default_tablespace = '';" : setting;
}

/** The same for a whole script. Pure. */
export function withKnownTablespaces(script: string, tablespaces: ReadonlySet<string>): string {
  const pieces: string[] = [];
  let at = 0;
  for (const part of scriptParts(script)) {
    if (part.kind !== 'statement') continue;
    const { start, text } = part.statement;
    const changed = withKnownTablespace(text, tablespaces);
    if (changed === text) continue;
    pieces.push(script.slice(at, start), changed);
    at = start + text.length;
  }
  return pieces.join('') + script.slice(at);
}

/**
 * Creates the tablespaces of a script of `ysql_dumpall` that the universe lacks, with what the script says of them besides. On
 * YugabyteDB a tablespace is a rule of placement, no folder of a machine. Outside of a transaction, as it has to be.
 */
export async function createMissingTablespaces(session: Session, script: string): Promise<void> {
  const existing = await existingTablespaces(session);
  for (const part of scriptParts(script)) {
    if (part.kind !== 'statement') continue;
    const tablespace = tablespaceOf(part.statement);
    if (tablespace === undefined || existing.has(tablespace)) continue;
    await session.query(`create tablespace "${tablespace}"`, part.statement.text);
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
