import { upstreamSetting } from './dialect.ts';
import { literal, type Statement } from './sql.ts';
import { asking } from './superuser.ts';

/**
 * Settings that only a superuser may set (PGC_SUSET); others get 42501 (facts yugabytedb-programs R15 and M5, YugabyteDB issue 19608; only PR 30962 of 2026
 * proposes USERSET). On PostgreSQL 15 they may be granted: GRANT SET ON PARAMETER.
 */
const FOR_SUPERUSERS: ReadonlySet<string> = new Set(['yb_read_time', 'yb_disable_catalog_version_check']);

/** Returns the first such setting that one of the statements sets. */
export function deniedSetting(found: readonly Statement[]): string | undefined {
  for (const { tokens } of found) {
    const words = tokens.map(({ text }) => text);
    const at = words[1] === 'local' || words[1] === 'session' ? 2 : 1;
    const set = words[0] === 'set' ? words[at] : undefined;
    if (set !== undefined && FOR_SUPERUSERS.has(set)) return set;
    for (const [index, word] of words.entries()) {
      const name = word === 'set_config' ? literal(tokens[index + 2]) : undefined;
      if (name !== undefined && FOR_SUPERUSERS.has(name)) return name;
    }
  }
  return undefined;
}

/** Asks in a session of our own whether `role` may set `setting`: a query in the client's session would take the snapshot of its transaction. */
export async function maySet(upstreamUrl: string, role: string, setting: string): Promise<boolean> {
  return asking(upstreamUrl, 'yugabytedb privileges', async (client) => {
    const { rows } = await client.query<{ rolsuper: boolean; number: number }>(
      "SELECT rolsuper, current_setting('server_version_num')::int AS number FROM pg_roles WHERE rolname = $1",
      [role],
    );
    if (rows[0]?.rolsuper === true) return true;
    if ((rows[0]?.number ?? 0) < 150_000) return false;
    const granted = await client.query<{ may: boolean }>(
      "SELECT has_parameter_privilege($1, $2, 'SET') AS may",
      [role, upstreamSetting(setting)],
    );
    return granted.rows[0]?.may === true;
  });
}
