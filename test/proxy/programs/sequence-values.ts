import { join } from 'node:path';
import { connectionOf } from './arguments.ts';
import { run } from './run.ts';
import type { Call } from './stand-in.ts';

/**
 * The SEQUENCE SET entries that `ysql_dump --schema-only --include-yb-metadata` writes (fact `dump.metadata`), of the database that
 * `pg_dump` was just run against with `passed`.
 */
export async function sequenceValues(
  call: Call,
  passed: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const connection = connectionOf(passed);
  const query = `SELECT format(E'--\\n-- Name: %s; Type: SEQUENCE SET; Schema: %s; Owner: %s\\n--\\n\\nSELECT pg_catalog.setval(%L, %s, %L);\\n\\n',
      sequencename, schemaname, sequenceowner, format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value), last_value IS NOT NULL)
    FROM pg_catalog.pg_sequences ORDER BY schemaname, sequencename`;
  const ended = await run(
    join(call.postgresBin, 'psql'),
    ['-w', '-XAt', ...connection, '-c', query],
    environment,
    'ignore',
  );
  if (ended.code !== 0) throw new Error(`the values of the sequences can't be read: ${ended.stderr}`);
  return `\n${ended.stdout.toString()}`;
}
