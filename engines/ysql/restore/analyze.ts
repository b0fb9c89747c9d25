import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '../../../model/errors.ts';
import type { Session } from '../server/session.ts';

/**
 * Lists relations that need an ANALYZE: those without statistics, and those with an index on expressions, a statistics object or
 * children, whose statistics only an ANALYZE after their creation can gather.
 */
const WITHOUT_STATISTICS = `
  SELECT format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND (NOT EXISTS (SELECT FROM pg_catalog.pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname)
      OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indexprs IS NOT NULL)
      OR EXISTS (SELECT FROM pg_catalog.pg_statistic_ext e WHERE e.stxrelid = c.oid)
      OR EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid))
  ORDER BY 1`;

const RELATIONS_AT_ONCE = 100;
const TRIES = 4;
const PAUSE_MS = 300;

/** The tables for which ANALYZE failed. */
export interface Unanalyzed {
  readonly relations: readonly string[];
  readonly reason: string;
}

/**
 * Gathers statistics for every relation that lacks some. On YugabyteDB ANALYZE may fail though nothing is wrong (issue 24004: "Restarting a DDL
 * transaction not supported"), so there it is tried several times, one relation at a time. Statistics are not data: relations that still fail are
 * returned, not thrown. `withSession` lends a session for one try; a session that failed is not used again.
 */
export async function analyze(
  withSession: <T>(work: (session: Session) => Promise<T>) => Promise<T>,
  signal: AbortSignal,
): Promise<Unanalyzed | undefined> {
  const { relations, product } = await withSession(async (session) => ({
    relations: (await session.query<{ name: string }>('look for statistics', WITHOUT_STATISTICS)).map(
      ({ name }) => name,
    ),
    product: session.product,
  }));
  const atOnce = product === 'yugabytedb' ? 1 : RELATIONS_AT_ONCE;
  const left: string[] = [];
  let reason = '';
  for (let at = 0; at < relations.length; at += atOnce) {
    const some = relations.slice(at, at + atOnce);
    // Once a relation has failed all tries, each further one gets a single try: a restore doesn't wait for statistics.
    const tries = product === 'yugabytedb' ? (left.length === 0 ? TRIES : 1) : 1;
    const failure = await analyzeSome(withSession, some, { tries, signal });
    if (failure === undefined) continue;
    if (product !== 'yugabytedb' || !failure.transient) throw failure;
    left.push(...some);
    reason = failure.message;
  }
  return left.length === 0 ? undefined : { relations: left, reason };
}

async function analyzeSome(
  withSession: <T>(work: (session: Session) => Promise<T>) => Promise<T>,
  relations: readonly string[],
  { tries, signal }: { readonly tries: number; readonly signal: AbortSignal },
): Promise<HoldfastError | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await withSession((session) =>
        session.query(`analyze ${relations.join(', ')}`, `ANALYZE ${relations.join(', ')}`),
      );
      return undefined;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      if (!error.transient || attempt >= tries) return error;
    }
    await sleep(PAUSE_MS * attempt, undefined, { signal });
  }
}
