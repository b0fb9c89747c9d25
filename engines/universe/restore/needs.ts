import { permanent } from '../../../model/errors.ts';
import type { ConnectionTarget } from '../../ysql/server/connection-url.ts';
import type { Dump } from '../../ysql/server/dump-script.ts';
import { existingRoles, rolesOf } from '../../ysql/server/roles.ts';
import { findScript } from '../../ysql/server/scripts.ts';
import { onlyRow, type Session, withSession } from '../../ysql/server/session.ts';
import { restoredDatabases, type UniverseRestore } from './context.ts';
import { schemaDump } from './schema.ts';

/**
 * Checks that the universe has what the backup's schemas need, before anything is written. Throws `RESTORE_ROLE_MISSING` with all roles that are
 * missing, `RESTORE_NEEDS_SUPERUSER`, and `DUMP_UNREADABLE` (all permanent).
 */
export async function checkSchemas(restore: UniverseRestore, target: ConnectionTarget): Promise<void> {
  const dumps: Dump[] = [];
  for (const database of restoredDatabases(restore)) {
    if (database.api === 'ysql') dumps.push(await schemaDump(restore, database));
  }
  await withSession(target, target.database, restore.signal, async (session) => {
    if (dumps.some(setsBinaryRestore)) await requireSuperuser(session);
    const { request, manifest } = restore;
    const bringsRoles = request.globals && findScript(manifest.commonObjects, 'globals') !== undefined;
    if (!bringsRoles) await requireRoles(session, dumps);
  });
}

/** Throws `RESTORE_ROLE_MISSING` (permanent) with every role that the dumps name and the server lacks. */
export async function requireRoles(session: Session, dumps: readonly Dump[]): Promise<void> {
  const existing = await existingRoles(session);
  const needed = new Set(dumps.flatMap(({ entries }) => entries.flatMap((entry) => [...rolesOf(entry)])));
  const missing = [...needed].filter((role) => !existing.has(role)).sort();
  if (missing.length === 0) return;
  throw permanent(
    'RESTORE_ROLE_MISSING',
    `The universe lacks roles that the backup's objects belong to or are granted to: ${missing.join(', ')}`,
    'Create them, or restore with --globals.',
  );
}

/** Whether the dump sets `yb_binary_restore`, by which a dump with `--include-yb-metadata` brings its own oids. */
function setsBinaryRestore({ steps }: Dump): boolean {
  return steps.some(
    ({ statement: { tokens } }) => tokens[0]?.text === 'set' && tokens[1]?.text === 'yb_binary_restore',
  );
}

/**
 * A schema with YugabyteDB's metadata sets `yb_binary_restore`, which only a superuser may (upstream guc.c, PGC_SUSET; yugabyte-db
 * issue 26857). Throws `RESTORE_NEEDS_SUPERUSER` (permanent). Returns the role.
 */
export async function requireSuperuser(session: Session): Promise<string> {
  const { role, superuser } = onlyRow(
    await session.query<{ role: string; superuser: boolean }>(
      'read the privileges of the role',
      'SELECT rolname AS role, rolsuper AS superuser FROM pg_catalog.pg_roles WHERE rolname = current_user',
    ),
    'the role of the connection',
  );
  if (superuser) return role;
  throw permanent(
    'RESTORE_NEEDS_SUPERUSER',
    `Role "${role}" is no superuser, and a schema with YugabyteDB's metadata is restored by one alone (yb_binary_restore)`,
    `Run ALTER ROLE "${role}" SUPERUSER before a restore, and NOSUPERUSER after it; or let source.universe.ysql.connection name a superuser.`,
  );
}
