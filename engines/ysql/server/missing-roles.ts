import { readDump } from './dump-script.ts';
import { existingRoles } from './roles.ts';
import { inTransaction, type Session } from './session.ts';
import type { Statement } from './sql-text.ts';

/** Creates the roles in a script of pg_dumpall or ysql_dumpall that the server lacks, by the script's own statements about them. */
export async function createMissingRoles(session: Session, script: string): Promise<void> {
  const existing = await existingRoles(session);
  await inTransaction(session, async () => {
    for (const { statement } of readDump(script).steps) {
      const role = newRoleOf(statement);
      if (role === undefined || existing.has(role)) continue;
      await session.query(`create role "${role}"`, statement.text);
    }
  });
}

/** Returns the role that a statement of pg_dumpall creates, alters or makes a member; undefined for everything else. */
function newRoleOf({ tokens }: Statement): string | undefined {
  const [first, second, third] = tokens;
  if ((first?.text === 'create' || first?.text === 'alter') && second?.text === 'role') return third?.text;
  if (first?.text === 'comment' && second?.text === 'on' && third?.text === 'role') return tokens[3]?.text;
  if (first?.text !== 'grant') return undefined;
  const to = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'to');
  return tokens[2]?.text === 'on' ? undefined : tokens[to + 1]?.text;
}
