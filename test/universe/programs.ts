import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { writeYsqlTools } from '../proxy/tools.ts';
import type { Profile } from './simulator/profiles.ts';

const YB_ADMIN = join(import.meta.dirname, 'programs/yb-admin.ts');

/**
 * Writes the programs of a universe into `home` as an installation has them: `bin/yb-admin` and `bin/ysqlsh`, and beside them
 * `postgres/bin/ysql_dump`, `ysql_dumpall` and `ysqlsh`. Returns `home/bin`, for `HOLDFAST_YB_BIN`.
 */
export async function writePrograms(home: string, profile: Profile, postgresBin: string): Promise<string> {
  const folder = await writeYsqlTools(home, postgresBin, profile.name);
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'yb-admin');
  // Without its types, once: Node would strip them at each of some hundred calls, for nearly half of their time.
  const script = join(home, 'yb-admin.mjs');
  await writeFile(script, stripTypeScriptTypes(await readFile(YB_ADMIN, 'utf8')));
  await writeFile(
    file,
    `#!/bin/sh\nHOLDFAST_SIMULATED_VERSION='${profile.version}' exec '${process.execPath}' '${script}' "$@"\n`,
  );
  await chmod(file, 0o755);
  return folder;
}
