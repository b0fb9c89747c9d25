import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../../engines/cache-folder.ts';
import type { ClientLineName } from './client-lines.ts';

const MAIN = join(import.meta.dirname, 'programs/main.ts');

/** Where an installation has each program (fact `programs.folders`). */
const PLACES = [
  { folder: 'bin', name: 'ysqlsh' },
  { folder: 'postgres/bin', name: 'ysql_dump' },
  { folder: 'postgres/bin', name: 'ysql_dumpall' },
  { folder: 'postgres/bin', name: 'ysqlsh' },
] as const;

/**
 * Writes YugabyteDB's client programs of a release line into `home`, laid out as in an installation. PostgreSQL's programs from
 * `postgresBin` play them (`programs/main.ts`). Returns the folder for `HOLDFAST_YB_BIN`, which is `home/bin`.
 */
export async function writeYsqlTools(
  home: string,
  postgresBin: string,
  line: ClientLineName = '2025.2',
): Promise<string> {
  for (const { folder, name } of PLACES) {
    const file = join(home, folder, name);
    await mkdir(join(home, folder), { recursive: true });
    // Sets the compile cache, since Holdfast doesn't pass its own NODE_COMPILE_CACHE to the programs it starts. Without it each call takes three
    // times as long.
    await writeFile(
      file,
      `#!/bin/sh\nNODE_COMPILE_CACHE='${cacheFolder('compiled')}' exec '${process.execPath}' --disable-warning=ExperimentalWarning '${MAIN}' ${name} ${line} '${postgresBin}' "$0" "$@"\n`,
    );
    await chmod(file, 0o755);
  }
  return join(home, 'bin');
}
