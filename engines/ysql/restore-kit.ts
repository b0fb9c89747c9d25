import { formatAmount } from '../../model/amounts.ts';
import type { DataObject, ObjectEntry } from '../../model/backup.ts';
import type { Manifest, ManifestDatabase, ManifestTable } from '../../model/manifest.ts';
import { isShared } from '../../repository/layout.ts';
import type { KitFile } from '../engine.ts';
import { kitChecksums, kitPath } from '../kit-checksums.ts';
import { copyFromStatement } from './copy-statements.ts';
import { quoteLiteral, quoteTable, tableName } from './server/identifiers.ts';
import { findScript, type ScriptName } from './server/scripts.ts';

/**
 * Returns the files of the restore kit: `RESTORE.md`, a `load-<n>.sh` per database that says which object goes into which table,
 * and `SHA256SUMS` over everything that they use. A restore needs nothing else but psql (or ysqlsh), zstd and sha256sum. Pure.
 */
export function restoreKit(manifest: Manifest, dataObjects: readonly DataObject[]): readonly KitFile[] {
  const loads = manifest.databases.map((database, index) => ({
    key: loadScriptKey(index),
    text: loadScript(manifest, index, database, dataObjects),
  }));
  return [
    { key: 'RESTORE.md', text: guide(manifest, dataObjects) },
    ...loads,
    kitChecksums(manifest, dataObjects, loads),
  ];
}

function loadScriptKey(index: number): string {
  return `load-${index}.sh`;
}

/** With these settings COPY reads the text as it was written, whatever the server's defaults are. */
const SESSION_OPTIONS = [
  'DateStyle=ISO,MDY',
  'IntervalStyle=postgres',
  'lc_monetary=C',
  'xmloption=content',
  'row_security=off',
  'client_encoding=UTF8',
];

function loadScript(
  manifest: Manifest,
  index: number,
  database: ManifestDatabase,
  dataObjects: readonly DataObject[],
): string {
  const options = [
    ...SESSION_OPTIONS,
    // Without this COPY commits every 20,000 rows, and an object that fails half-way leaves rows behind.
    ...(manifest.server.product === 'yugabytedb' ? ['yb_default_copy_from_rows_per_transaction=0'] : []),
  ];
  const loads = dataObjects
    .filter(({ table }) => table.database === database.name)
    .map((object) =>
      [
        object.format === 'copy-binary' ? 'load_binary' : 'load',
        ...[kitPath(object.key), object.sha256, copyFromStatement(object, database.encoding)].map(shellQuote),
        ...(object.at === undefined ? [] : [object.at, object.sizeBytes]),
      ].join(' '),
    );
  const rows = database.tables.reduce((sum, table) => sum + table.rows, 0);
  return `#!/bin/sh
# Loads every row of database ${oneLine(database.name)} into the database that PGDATABASE names, in JOBS sessions at once.
# Each line that starts with "load" or "load_binary" below says which object goes into which table, and the object's SHA-256.
# Two numbers behind that mean a piece of the object: its first byte, counted from 0, and its length. The SHA-256 is the piece's then.
# An object or a piece is loaded whole or not at all. Tables must be empty, and their rows are counted at the end.
set -eu
PSQL=\${PSQL:-psql}
JOBS=\${JOBS:-4}
export PGOPTIONS=${shellQuote(options.map((option) => `-c ${option}`).join(' '))}

fail() {
  echo "${loadScriptKey(index)}: $1" >&2
  exit 1
}
for program in "$PSQL" zstd sha256sum mktemp rm cat head tail; do
  command -v "$program" >/dev/null 2>&1 || fail "there is no program $program on this machine. Nothing was loaded."
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# What the statements on standard input answer, a line each.
ask() {
  "$PSQL" -X -q -A -t -v ON_ERROR_STOP=1 -f - >"$work/answer" || fail "psql failed; see its message above."
}
# The rows are committed by what follows them, so data that ends too early leaves nothing behind.
text_rows() {
  [ "$({
    printf 'BEGIN;\\n%s;\\n' "$2"
    zstd -dcq "$1" && printf '%s\\n' '\\.' 'COMMIT;' '\\echo loaded'
  } | "$PSQL" -X -q -A -t -v ON_ERROR_STOP=1 -f -)" = loaded ]
}
# Nothing can follow binary rows, so they are unpacked whole before the server is sent any.
binary_rows() {
  rows=$(mktemp "$work/rows.XXXXXX")
  zstd -dcq "$1" >"$rows" && "$PSQL" -X -q -v ON_ERROR_STOP=1 -c "$2" <"$rows"
  loaded=$?
  rm -f "$rows"
  return "$loaded"
}
load() {
  load_rows text_rows "$@"
}
load_binary() {
  load_rows binary_rows "$@"
}
load_rows() {
  (
    object=$2
    name=$2
    # A piece is taken out first: what zstd reads is what was compared.
    if [ "$#" -gt 4 ]; then
      name="$2 at $5"
      object=$(mktemp "$work/piece.XXXXXX") || object=
      tail -c "+$(($5 + 1))" "$2" | head -c "$6" >"$object"
    fi
    if ! echo "$3  $object" | sha256sum --check --status; then
      echo "$name: it is missing, or not as it was written" >>"$work/failed"
    elif ! "$1" "$object" "$4"; then
      echo "$name: it was not loaded" >>"$work/failed"
    fi
    [ "$#" -le 4 ] || rm -f "$object"
  ) &
  running=$((running + 1))
  if [ "$running" -ge "$JOBS" ]; then
    wait
    running=0
  fi
}

# Tables that hold rows already; those of extensions hold the extension's own.
${asked(database.tables.map(emptiness))}
if [ -s "$work/answer" ]; then
  cat "$work/answer" >&2
  fail "the tables above hold rows already. Nothing was loaded; TRUNCATE them first."
fi

running=0
${loads.join('\n')}
wait
if [ -s "$work/failed" ]; then
  cat "$work/failed" >&2
  fail "the objects above were not loaded. TRUNCATE the tables before you run this again."
fi

# Tables that hold another number of rows than the backup has.
${asked(database.tables.map(difference))}
if [ -s "$work/answer" ]; then
  cat "$work/answer" >&2
  fail "the tables above differ from the backup."
fi
echo "${formatAmount(rows, 'row')} in ${formatAmount(database.tables.length, 'table')}: loaded and counted"
`;
}

/** Shell commands that send these statements to the server. Each statement is one quoted word, so names can hold anything. */
function asked(statements: readonly string[]): string {
  if (statements.length === 0) return ': >"$work/answer"';
  return `printf '%s\\n' \\\n${statements.map((text) => `  ${shellQuote(text)} \\\n`).join('')}  >"$work/question"\nask <"$work/question"`;
}

function emptiness(table: ManifestTable): string {
  const name = quoteTable(table);
  return `SELECT ${quoteLiteral(tableName(table))} WHERE EXISTS (SELECT FROM ONLY ${name}) AND ${notOfExtension(name)};`;
}

function difference(table: ManifestTable): string {
  const name = quoteTable(table);
  const said = `${quoteLiteral(`${tableName(table)} has `)} || count(*) || ${quoteLiteral(` rows, the backup ${table.rows}`)}`;
  return `SELECT ${said} FROM ONLY ${name} HAVING count(*) <> ${table.rows} AND ${notOfExtension(name)};`;
}

/** A condition that leaves out configuration tables of extensions: they hold rows that come with the extension. */
function notOfExtension(quotedTable: string): string {
  return `NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE ${quoteLiteral(quotedTable)}::pg_catalog.regclass = ANY (extconfig))`;
}

function guide(manifest: Manifest, dataObjects: readonly DataObject[]): string {
  const { server, readPoint, totals } = manifest;
  const globals = findScript(manifest.commonObjects, 'globals');
  const shares = dataObjects.some(({ key }) => isShared(key));
  return `# Restore without Holdfast

Backup \`${manifest.backup}\` of plan \`${manifest.plan}\`: ${server.product} ${server.version} as of ${readPoint.takenAt}, ${formatAmount(totals.rows, 'row')} in ${formatAmount(totals.tables, 'table')}.
Everything here is plain: SQL scripts, and rows as COPY writes them, text (\`.copy.zst\`) or its binary format (\`.binary.zst\`), compressed by zstd. You need \`psql\` (or \`ysqlsh\`: set \`PSQL=ysqlsh\`), \`zstd\` and \`sha256sum\`,
${shares ? "this backup's folder and `objects/`, three folders up, on a disk as they stand in the repository" : "this backup's folder on a disk"}, and an empty place for the databases on a server of version ${server.version} or newer.

The scripts hold SQL and none of psql's own commands: names that could be read as one are in quotes, and a dump with any other command is refused at the backup. A \`psql\` of August 2025 or later makes
sure of it where \`-c '\\restrict holdfast'\` stands before \`-f\`.

Run all commands in the backup's folder, with \`PGHOST\`, \`PGPORT\`, \`PGUSER\` and \`PGPASSWORD\` (or \`~/.pgpass\`) set for a superuser of the target server.

## 1. Check that every byte is as it was written

\`\`\`sh
sha256sum --check --quiet SHA256SUMS
\`\`\`
${globals === undefined ? '' : globalsSection(globals)}
${manifest.databases.map((database, index) => databaseSection(database, index)).join('\n')}
## What is where

\`manifest.json\` describes the backup: each database with its tables and scripts, each object with its table, columns, rows, size and SHA-256.
${manifest.data !== undefined && 'lists' in manifest.data ? 'Its list of objects stands in `lists/` (zstd-compressed JSON).\n' : ''}${(manifest.packs ?? []).length === 0 ? '' : PACKS_NOTE}${shares ? SHARED_NOTE : ''}To load one table only, run the lines of \`load-<n>.sh\` that name it, after the definition of the table from the pre-data script.
`;
}

const SHARED_NOTE = `Rows lie in \`objects/\` of the repository, which all its backups share: a key \`objects/…\` in the manifest is \`../../../objects/…\` here. Each is named by the SHA-256 of its bytes.
\`SHA256SUMS\` names those that this backup needs: \`sed -n 's|.*  ../../../||p' SHA256SUMS\` lists them, for a download of no others.
`;

const PACKS_NOTE = `Small tables stand one behind the other in packs (\`pack-*.zst\`). An object with \`at\` in the manifest is a piece of the pack under its key, and is a zstd file by itself:
\`tail -c +$((at + 1)) KEY | head -c SIZE | zstd -dc\`, SIZE being its \`sizeBytes\`.
`;

function globalsSection(globals: ObjectEntry): string {
  return `
## Roles

Creates the roles that the objects belong to. For roles that exist already it says so and goes on.

\`\`\`sh
"\${PSQL:-psql}" -X -q -d postgres -f ${shellQuote(globals.key)}
\`\`\`
`;
}

function databaseSection(database: ManifestDatabase, index: number): string {
  const script = (name: ScriptName) => findScript(database.schemaObjects, name)?.key;
  const steps: readonly (readonly [string, string | undefined])[] = [
    ['Create the database under its own name', step(script('database'), '-d postgres')],
    ['Types, tables, functions, views', step(script('pre-data'), '--single-transaction')],
    ['Large objects, empty as yet', step(script('large-objects'), '-o /dev/null')],
    [
      'Rows (`JOBS` sessions at once)',
      database.tables.length === 0 ? undefined : `sh ${loadScriptKey(index)}`,
    ],
    ['Indexes, constraints, triggers', step(script('post-data'), '')],
    ['Values of sequences', step(script('sequences'), '-o /dev/null')],
    ['Statistics for the planner', `"\${PSQL:-psql}" -X -q -c ANALYZE`],
  ];
  const commands = steps
    .filter(([, command]) => command !== undefined)
    .map(([what, command]) => `# ${what}\n${command}`)
    .join('\n');
  return `## Database \`${oneLine(database.name)}\`

To restore it under another name, edit the database script, and \`PGDATABASE\` below.
${script('pre-data') === undefined ? 'This backup holds data only: the tables must be there, empty.\n' : ''}
\`\`\`sh
set -e
export PGDATABASE=${shellQuote(database.name)}
${commands}
\`\`\`
`;
}

function step(key: string | undefined, options: string): string | undefined {
  if (key === undefined) return undefined;
  return `"\${PSQL:-psql}" -X -q -v ON_ERROR_STOP=1 ${options} -f ${shellQuote(key)}`.replaceAll('  ', ' ');
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n`]/g, ' ');
}
