import { chmod, mkdir, writeFile } from 'node:fs/promises';
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
  await writeFile(
    file,
    `#!/bin/sh\nHOLDFAST_SIMULATED_VERSION='${profile.version}' exec '${process.execPath}' --disable-warning=ExperimentalWarning '${YB_ADMIN}' "$@"\n`,
  );
  await chmod(file, 0o755);
  return folder;
}
