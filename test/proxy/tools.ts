import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { YUGABYTEDB_VERSION } from './dialect.ts';

const STAND_INS: Readonly<Record<string, string>> = {
  ysql_dump: 'pg_dump',
  ysql_dumpall: 'pg_dumpall',
  ysqlsh: 'psql',
};

/**
 * Writes executables named like YugabyteDB's client tools into `folder` (for `HOLDFAST_YB_BIN`), which run PostgreSQL's from `postgresBin`.
 */
export async function writeYsqlTools(folder: string, postgresBin: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, standIn] of Object.entries(STAND_INS)) {
    const file = join(folder, name);
    await writeFile(file, script(join(postgresBin, standIn)));
    await chmod(file, 0o755);
  }
}

/** `--read-time` becomes the setting that the proxy understands; options that only YugabyteDB's fork has are dropped. */
function script(program: string): string {
  return `#!/bin/sh
set -eu
for argument do
  shift
  case $argument in
    --version | -V) echo "$(basename "$0") (PostgreSQL) ${YUGABYTEDB_VERSION}"; exit 0 ;;
    --help)
      '${program}' --help
      echo '  --read-time=MICROSECONDS     dump the data as of an instant'
      exit 0 ;;
    --read-time=*) PGOPTIONS="\${PGOPTIONS:-} -c yb_read_time=\${argument#*=}"; export PGOPTIONS ;;
    --include-yb-metadata | --serializable-deferrable | --no-serializable-deferrable) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec '${program}' "$@"
`;
}
