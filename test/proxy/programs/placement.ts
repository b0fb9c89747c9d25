import { join } from 'node:path';
import { type DumpedPlacement, NOT_PLACED } from '../dump-text.ts';
import { connectionOf } from './arguments.ts';
import { run } from './run.ts';
import type { Call } from './stand-in.ts';

/** Names as headers have them. */
const NAME = `translate(n.nspname || '.' || c.relname, E'\\n\\r', '  ')`;
const OF = 'JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace';

const QUERY = `
  SELECT jsonb_build_object(
    'colocated', EXISTS (SELECT FROM information_schema.yb_colocated),
    'keys', coalesce((SELECT jsonb_object_agg(${NAME}, k.key)
      FROM information_schema.yb_keys k JOIN pg_catalog.pg_class c ON c.oid = k.relation ${OF}), '{}'),
    'apart', coalesce((SELECT jsonb_agg(${NAME})
      FROM information_schema.yb_colocation k JOIN pg_catalog.pg_class c ON c.oid = k.relation ${OF} WHERE k.apart), '[]'),
    'ids', coalesce((SELECT jsonb_object_agg(${NAME}, p.colocation_id::text)
      FROM pg_catalog.pg_class c ${OF} CROSS JOIN LATERAL pg_catalog.yb_table_properties(c.oid) p
      WHERE EXISTS (SELECT FROM information_schema.yb_colocated)
        AND p.is_colocated AND c.relkind IN ('r', 'm', 'p', 'i') AND n.nspname !~ '^(pg_|information_schema$)'), '{}'))`;

/** What the stand-in for the server keeps of the database that `pg_dump` was just run against with `passed`; nothing where it is no such server's. */
export async function placementOf(
  call: Call,
  passed: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<DumpedPlacement> {
  const args = ['-w', '-XAt', ...connectionOf(passed), '-c', QUERY];
  const ended = await run(join(call.postgresBin, 'psql'), args, environment, 'ignore');
  if (ended.code === 0) return JSON.parse(ended.stdout.toString()) as DumpedPlacement;
  if (/"information_schema\.yb_\w+" does not exist/.test(ended.stderr)) return NOT_PLACED;
  throw new Error(`where the tables are can't be read: ${ended.stderr}`);
}
