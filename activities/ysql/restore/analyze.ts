import type { Session } from '../session.ts';

/**
 * Relations that the planner knows too little of: without statistics, or with some that only an ANALYZE after the index, the
 * statistics object or the last child came can gather.
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

/** Gives the planner statistics of everything that has none yet. */
export async function analyze(session: Session): Promise<void> {
  const relations = await session.query<{ name: string }>('look for statistics', WITHOUT_STATISTICS);
  for (let at = 0; at < relations.length; at += RELATIONS_AT_ONCE) {
    const some = relations.slice(at, at + RELATIONS_AT_ONCE).map(({ name }) => name);
    await session.query('analyze the database', `ANALYZE ${some.join(', ')}`);
  }
}
