import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { databaseOf } from './catalog.ts';
import type { NamespaceState } from './state.ts';
import type { World } from './world.ts';

/** Dumps the present schema of a database or keyspace as a script that any session can run. */
export async function dumpSchema(world: World, namespace: NamespaceState): Promise<string> {
  const schema = namespace.kind === 'ycql' ? [`--schema="${namespace.name}"`] : [];
  const { stdout } = await promisify(execFile)(
    join(world.binDirectory, 'pg_dump'),
    ['--schema-only', ...schema, `--dbname=${world.url(databaseOf(namespace))}`],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return stdout
    .split('\n')
    .filter(
      (line) =>
        !/^\\|^CREATE SCHEMA public;|^COMMENT ON SCHEMA public|^SET default_table_access_method/.test(line),
    )
    .join('\n');
}
