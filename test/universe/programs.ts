import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { YUGABYTEDB_VERSION } from '../proxy/dialect.ts';
import type { UniverseConfig } from './model.ts';
import type { Profile } from './simulator/profiles.ts';

const YB_ADMIN = join(import.meta.dirname, 'programs/yb-admin.ts');

/** Writes `yb-admin`, `ysql_dump`, `ysql_dumpall` and `ysqlsh` into a folder for `HOLDFAST_YB_BIN`. */
export async function writePrograms(
  folder: string,
  profile: Profile,
  postgresBin: string,
  dumpedSequences: UniverseConfig['dumpedSequences'],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const psql = join(postgresBin, 'psql');
  const scripts: Readonly<Record<string, string>> = {
    'yb-admin': `HOLDFAST_SIMULATED_VERSION='${profile.version}' exec '${process.execPath}' --disable-warning=ExperimentalWarning '${YB_ADMIN}' "$@"`,
    ysql_dump: dumpScript(
      join(postgresBin, 'pg_dump'),
      profile,
      `"$program" "$@"\n${dumpedSequences === 'setval' ? appendSetval(psql) : ''}`,
    ),
    ysql_dumpall: dumpScript(join(postgresBin, 'pg_dumpall'), profile, WITHOUT_LOCATIONS),
    ysqlsh: `case "\${1:-}" in --version | -V) echo 'ysqlsh (PostgreSQL) ${YUGABYTEDB_VERSION}'; exit 0 ;; esac\nexec '${psql}' "$@"`,
  };
  for (const [name, script] of Object.entries(scripts)) {
    const file = join(folder, name);
    await writeFile(file, `#!/bin/sh\nset -eu\n${script}\n`);
    await chmod(file, 0o755);
  }
}

/** Options of YugabyteDB's fork are taken or dropped; `--read-time` becomes the setting that the proxy understands. */
function dumpScript(program: string, { readTime }: Profile, run: string): string {
  const atAnInstant = readTime
    ? `PGOPTIONS="\${PGOPTIONS:-} -c yb_read_time=\${argument#*=}"; export PGOPTIONS`
    : `echo "$(basename "$0"): unrecognized option '$argument'" >&2; exit 1`;
  return `program='${program}' schema_only= file= database=
for argument do
  shift
  case $argument in
    --version | -V) echo "$(basename "$0") (PostgreSQL) ${YUGABYTEDB_VERSION}"; exit 0 ;;
    --help)
      "$program" --help
      ${readTime ? "echo '  --read-time=MICROSECONDS     dump the data as of an instant'" : ':'}
      exit 0 ;;
    --read-time=*) ${atAnInstant} ;;
    --masters=* | --include-yb-metadata | --serializable-deferrable | --no-serializable-deferrable) continue ;;
    --schema-only | -s) schema_only=yes ;;
    --file=*) file=\${argument#*=} ;;
    --host=*) export PGHOST="\${argument#*=}" ;;
    --port=*) export PGPORT="\${argument#*=}" ;;
    --username=*) export PGUSER="\${argument#*=}" ;;
    --dbname=*) database=\${argument#*=} ;;
  esac
  case $argument in --read-time=*) ;; *) set -- "$@" "$argument" ;; esac
done
${run}`;
}

/** A tablespace of YugabyteDB is no folder. */
const WITHOUT_LOCATIONS = `script=$("$program" "$@")
printf '%s\\n' "$script" | sed "s/ LOCATION 'pg_tblspc[^']*'/ LOCATION ''/"`;

/** Whether YugabyteDB's dump of a schema has the sequences' values is not known: here it has. */
function appendSetval(psql: string): string {
  return `if [ "$schema_only" = yes ]; then
  '${psql}' -XAt ${'$'}{database:+-d "$database"} -c "SELECT format('SELECT pg_catalog.setval(%L, %s, %L);', format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value), last_value IS NOT NULL) FROM pg_sequences" > "\${TMPDIR:-/tmp}/setval.$$"
  if [ -n "$file" ]; then cat "\${TMPDIR:-/tmp}/setval.$$" >> "$file"; else cat "\${TMPDIR:-/tmp}/setval.$$"; fi
  rm -f "\${TMPDIR:-/tmp}/setval.$$"
fi`;
}
