import { findScript, readScript } from '../server/scripts.ts';
import type { Session } from '../server/session.ts';
import { type Statement, scriptParts } from '../server/sql-text.ts';
import { withRestoreSession } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

const STATEMENTS_AT_ONCE = 200;

/** Sets every sequence to its value from the backup. May be called again. */
export async function setSequences(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const object = findScript(database.manifest.schemaObjects, 'sequences');
  if (object === undefined || !job.withData) return;
  const script = await readScript(job.context, object);
  const statements = [...scriptParts(script)].flatMap((part) =>
    part.kind === 'statement' ? [part.statement] : [],
  );
  await withRestoreSession(job, database, async (session) => {
    const wanted =
      database.selection.all && job.withSchema && job.context.request.tolerate !== true
        ? statements
        : await ofExisting(session, statements);
    for (let at = 0; at < wanted.length; at += STATEMENTS_AT_ONCE) {
      const some = wanted.slice(at, at + STATEMENTS_AT_ONCE);
      await session.query('set the sequences', some.map(({ text }) => text).join('\n'));
    }
  });
}

/** Keeps the statements whose sequence exists: sequences of unselected tables don't. */
async function ofExisting(session: Session, statements: readonly Statement[]): Promise<readonly Statement[]> {
  const names = statements.map(({ tokens }) => tokens.find(({ kind }) => kind === 'string')?.text ?? "''");
  const existing: Statement[] = [];
  for (const [index, statement] of statements.entries()) {
    const [row] = await session.query<{ there: boolean }>(
      'look for a sequence',
      `SELECT to_regclass(${names[index]}) IS NOT NULL AS there`,
    );
    if (row?.there === true) existing.push(statement);
  }
  return existing;
}
