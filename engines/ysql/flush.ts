import { setTimeout as sleep } from 'node:timers/promises';
import { transient } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { selectedDatabases } from './databases.ts';
import { withPresent } from './server/reader.ts';
import { readServer, type Server } from './server/server.ts';
import { onlyRow, resolveTarget, type Session } from './server/session.ts';

const ASK_EVERY_MS = 500;

/**
 * Waits until no DDL runs in the selected databases. That means that no other session holds or awaits an exclusive lock on a
 * user's table and, on YugabyteDB, that no breaking DDL ran between two polls. Throws `YSQL_DDL_UNDER_WAY` (transient), which
 * names the sessions, when that takes longer than `waitMs` milliseconds.
 */
export async function flush(
  verb: VerbContext,
  source: YsqlSource,
  options: { readonly waitMs: number },
): Promise<{ readonly waitedMs: number }> {
  const target = await resolveTarget(verb, source.connection);
  const startedAt = Date.now();
  await withPresent(target, target.database, verb.signal, async (session) => {
    const server = await readServer(session);
    const databases = await selectedDatabases(session, target, source);
    let version = await breakingVersions(session, server);
    for (;;) {
      const busy = await ddlUnderWay(session, databases);
      const newVersion = await breakingVersions(session, server);
      if (busy.length === 0 && newVersion === version) return;
      version = newVersion;
      if (Date.now() - startedAt >= options.waitMs) throw notAtRest(busy, options.waitMs);
      await sleep(ASK_EVERY_MS, undefined, { signal: verb.signal });
    }
  });
  return { waitedMs: Date.now() - startedAt };
}

interface DdlSession {
  readonly pid: number;
  readonly database: string;
  readonly since: string;
}

async function ddlUnderWay(session: Session, databases: readonly string[]): Promise<readonly DdlSession[]> {
  return await session.query<DdlSession>(
    'look for DDL under way',
    `SELECT DISTINCT l.pid, d.datname AS database, coalesce(a.xact_start::text, 'unknown') AS since
     FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
     LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid()
       AND l.relation >= 16384 AND d.datname = ANY ($1::text[])`,
    [databases],
  );
}

/**
 * Reads what DDL changes on YugabyteDB; undefined on PostgreSQL, where locks show DDL. It reads the last breaking version, because every ANALYZE
 * raises the catalog version itself, and so does auto-analyze (on by default from 2026.1.1; issues 21764, 1721), though neither changes the schema.
 * There is one row per database, or one row for all of them in older builds. DDL that this misses (a new table) is found when the schema is dumped.
 */
async function breakingVersions(session: Session, server: Server): Promise<string | undefined> {
  if (server.product !== 'yugabytedb') return undefined;
  const rows = await session.query<{ versions: string | null }>(
    'read the catalog versions',
    `SELECT string_agg(db_oid || ':' || last_breaking_version, ' ' ORDER BY db_oid) AS versions
     FROM pg_catalog.pg_yb_catalog_version`,
  );
  return onlyRow(rows, 'the catalog versions').versions ?? '';
}

function notAtRest(busy: readonly DdlSession[], waitMs: number): Error {
  const who = busy
    .map(({ pid, database, since }) => `session ${pid} in "${database}" since ${since}`)
    .join('; ');
  return transient(
    'YSQL_DDL_UNDER_WAY',
    `The source is not at rest after ${waitMs} ms: ${who || 'DDL keeps changing its catalog (last_breaking_version)'}`,
    'Let the DDL end or end its session (pg_terminate_backend), or raise the wait of the flush step.',
  );
}
