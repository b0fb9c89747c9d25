import type { DumpEntry } from './dump-script.ts';
import { quoteIdentifier } from './identifiers.ts';
import type { Session } from './session.ts';
import type { Statement, Token } from './sql-text.ts';

/**
 * Returns the roles that an entry needs: its owner, grantees, and the roles of policies and settings. It ignores the owner in the
 * header: names have spaces for line breaks there, and a role that no statement names isn't needed. Pure.
 */
export function rolesOf(entry: DumpEntry): ReadonlySet<string> {
  const roles = new Set<string>();
  for (const statement of entry.statements) {
    for (const role of rolesOfStatement(statement)) roles.add(role);
  }
  return roles;
}

/** Returns the roles that an entry's statements make owners. Pure. */
export function ownersOf(entry: DumpEntry): readonly string[] {
  return entry.statements.flatMap(({ tokens }) => ownerToken(tokens)?.text ?? []);
}

/** The words before a list of roles, by the beginning of the statement. */
const ROLES_AFTER: readonly { readonly begins: readonly string[]; readonly words: readonly string[] }[] = [
  { begins: ['grant'], words: ['to', 'by'] },
  { begins: ['revoke'], words: ['from', 'by'] },
  { begins: ['alter', 'default', 'privileges'], words: ['to', 'from', 'role'] },
  { begins: ['create', 'policy'], words: ['to'] },
  { begins: ['create', 'user', 'mapping'], words: ['for'] },
  { begins: ['set', 'session', 'authorization'], words: ['authorization'] },
  { begins: ['alter', 'role'], words: ['role'] },
];

function rolesOfStatement({ tokens }: Statement): readonly string[] {
  const owner = ownerToken(tokens);
  if (owner !== undefined) return [owner.text];
  const rule = ROLES_AFTER.find(({ begins }) => begins.every((word, at) => tokens[at]?.text === word));
  if (rule === undefined) return [];
  const roles: string[] = [];
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth === 0 && token.kind === 'word' && rule.words.includes(token.text)) {
      roles.push(...roleList(tokens, index + 1));
    }
  }
  return roles;
}

function roleList(tokens: readonly Token[], start: number): readonly string[] {
  const roles: string[] = [];
  for (let at = start; at < tokens.length; at += 2) {
    const token = tokens[at];
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'name')) break;
    if (token.kind === 'name' || token.text !== 'public') roles.push(token.text);
    if (tokens[at + 1]?.text !== ',') break;
  }
  return roles;
}

/** The role of `ALTER … OWNER TO role`. */
function ownerToken(tokens: readonly Token[]): Token | undefined {
  const [owner, to, role] = tokens.slice(-3);
  return tokens[0]?.text === 'alter' && owner?.text === 'owner' && to?.text === 'to' ? role : undefined;
}

/** Returns the statement with `owner` in place of the owner that it sets, if it sets one. Pure. */
export function withOwner(statement: Statement, owner: string | undefined): string {
  const role = ownerToken(statement.tokens);
  if (owner === undefined || role === undefined) return statement.text;
  return `${statement.text.slice(0, role.start - statement.start)}${quoteIdentifier(owner)};`;
}

/** Returns an entry's statements for another owner: of grants, default privileges and settings for roles only those whose roles all exist. Pure. */
export function withoutMissingRoles(entry: DumpEntry, existing: ReadonlySet<string>): readonly Statement[] {
  const isThere = (statement: Statement) => rolesOfStatement(statement).every((role) => existing.has(role));
  if (entry.type === 'DATABASE PROPERTIES')
    return entry.statements.filter((statement) => !setsForRole(statement) || isThere(statement));
  if (entry.type !== 'ACL' && entry.type !== 'DEFAULT ACL') return entry.statements;
  // Leave out changes of session role around a grant: acting as the other grantor needs a superuser, so the new owner grants
  // instead.
  return entry.statements.filter((statement) => !changesSpeaker(statement) && isThere(statement));
}

/** Returns the roles that have settings of their own in the database that these entries describe. Pure. */
export function rolesWithSettings(entries: readonly DumpEntry[]): readonly string[] {
  const statements = entries.flatMap((entry) => entry.statements).filter(setsForRole);
  return [...new Set(statements.flatMap(rolesOfStatement))];
}

/** Returns the roles that these entries' grants name: those that get privileges, now or by default, and those that gave them. Pure. */
export function rolesWithGrants(entries: readonly DumpEntry[]): readonly string[] {
  const grants = entries
    .filter(({ type }) => type === 'ACL' || type === 'DEFAULT ACL')
    .flatMap(({ statements }) => statements)
    .filter(({ tokens }) => tokens.some(({ kind, text }) => kind === 'word' && text === 'grant'));
  return [...new Set(grants.flatMap(rolesOfStatement))].sort();
}

/** `ALTER ROLE x IN DATABASE d SET …` */
function setsForRole({ tokens }: Statement): boolean {
  return tokens[0]?.text === 'alter' && tokens[1]?.text === 'role';
}

/** `SET SESSION AUTHORIZATION …` and `RESET SESSION AUTHORIZATION`. */
function changesSpeaker({ tokens }: Statement): boolean {
  const [verb, session, authorization] = tokens;
  const isEither = verb?.text === 'set' || verb?.text === 'reset';
  return isEither && session?.text === 'session' && authorization?.text === 'authorization';
}

/** Returns the names of all roles of the server. */
export async function existingRoles(session: Session): Promise<ReadonlySet<string>> {
  const rows = await session.query<{ role: string }>(
    'list the roles',
    'SELECT rolname AS role FROM pg_catalog.pg_roles',
  );
  return new Set(rows.map(({ role }) => role));
}
