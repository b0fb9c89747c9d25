import type { ManifestDatabase, ManifestUniverse } from '../../model/manifest.ts';
import type { KitFile } from '../engine.ts';
import { findScript } from '../ysql/server/scripts.ts';

/**
 * `RESTORE.md`, and `tablets.sh`, which puts the tablets' files together from the shared objects. A restore also needs the universe's own programs,
 * jq, zstd and sha256sum. Pure.
 */
export function universeKit(
  ref: { readonly plan: string; readonly backup: string },
  version: string,
  databases: readonly ManifestDatabase[],
  { snapshots, encryption }: ManifestUniverse,
): readonly KitFile[] {
  return [
    { key: 'RESTORE.md', text: guide(ref, version, databases, snapshots, encryption) },
    { key: 'tablets.sh', text: TABLETS },
  ];
}

const TABLETS = `#!/bin/sh
# Puts the files of every tablet together: sh tablets.sh OUT
# Run in the backup's folder, the repository around it (../../../objects/…). Needs jq, zstd, sha256sum.
set -eu
fail() {
  echo "tablets.sh: $1" >&2
  exit 1
}
for program in jq zstd sha256sum mktemp head tail; do
  command -v "$program" >/dev/null 2>&1 || fail "there is no program $program on this machine. Nothing was written."
done
[ "$#" -eq 1 ] || fail "say where the files go: sh tablets.sh OUT"
out=$1
[ ! -e "$out" ] || fail "$out exists already. Remove it, or name another place."
jq -r '.tablets.lists[]? | .sha256 + "  " + .key' manifest.json | sha256sum --check --quiet || fail "a list of tablets is missing or damaged; see above."
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for list in $(jq -r '.tablets.lists[]?.key' manifest.json); do
  zstd -dcq "$list" >"$work/list" || fail "$list can't be read"
  jq -r '
    .objects as $objects | .tablets[] | .tablet as $tablet | .files[]
    | .path as $path | .sha256 as $sha256
    | ["file", $tablet, $path, $sha256], (.parts[] | ["part", $tablet, $path, $objects[.object].key, .offset, .sizeBytes])
    | @tsv' "$work/list" >"$work/parts" || fail "$list can't be read"
  while IFS="$(printf '\\t')" read -r what tablet path a b c; do
    case "$tablet/$path" in /* | *..*) fail "refused, since it leaves its folder: $tablet/$path" ;; esac
    file="$out/tablet-$tablet/$path"
    if [ "$what" = file ]; then
      mkdir -p "$(dirname "$file")"
      : > "$file"
      printf '%s  %s\\n' "$a" "$file" >> "$out/SHA256SUMS"
    else
      [ -f "../../../$a" ] || fail "the object $a is missing; it holds a part of $file"
      tail -c "+$((b + 1))" "../../../$a" | head -c "$c" >> "$file"
    fi
  done <"$work/parts"
done
[ ! -s "$out/SHA256SUMS" ] || sha256sum --check --quiet "$out/SHA256SUMS" || fail "the files above are not as they were written"
echo "$(jq -r '.tablets.count // 0' manifest.json) tablets are in $out, every file checked"
`;

function guide(
  { plan, backup }: { readonly plan: string; readonly backup: string },
  version: string,
  databases: readonly ManifestDatabase[],
  snapshots: ManifestUniverse['snapshots'],
  encryption: string | undefined,
): string {
  const sections = snapshots.map(({ database, api, metadata }, index) => {
    const entry = databases[index];
    const schema = entry === undefined ? undefined : findScript(entry.schemaObjects, 'schema');
    const sequences = entry === undefined ? undefined : findScript(entry.schemaObjects, 'sequences');
    return [
      `## ${oneLine(database)} (${api})`,
      '',
      '```sh',
      ...(schema === undefined
        ? []
        : [
            `ysqlsh -X -v ON_ERROR_STOP=1 -f ${shellQuote(schema.key)}                       # creates the database and its schema`,
          ]),
      ...(metadata === undefined
        ? ['# The database had no tables: its schema is all there is.']
        : [
            `yb-admin --master_addresses $MASTERS import_snapshot ${shellQuote(metadata)} ${shellQuote(`${api}.${database}`)}`,
            'yb-admin --master_addresses $MASTERS set_load_balancer_enabled 0',
            '# … the files, as below …',
            'yb-admin --master_addresses $MASTERS restore_snapshot NEW_SNAPSHOT',
            'yb-admin --master_addresses $MASTERS list_snapshot_restorations      # until RESTORED',
            'yb-admin --master_addresses $MASTERS set_load_balancer_enabled 1',
            'yb-admin --master_addresses $MASTERS delete_snapshot NEW_SNAPSHOT',
          ]),
      ...(sequences === undefined
        ? []
        : [`ysqlsh -X -d ${shellQuote(connectionString(database))} -f ${shellQuote(sequences.key)}`]),
      '```',
    ].join('\n');
  });
  return `# Restoring this backup without Holdfast

Backup ${backup} of plan ${plan}, of a universe of version ${version}. You need the whole repository (this folder, and \`objects/\` three folders up), the universe's own programs,
jq, zstd and sha256sum. The universe must be of the same version or a newer one.${encryption === undefined ? '' : ` The files are encrypted with the universe key ${encryption}: it must be the universe's key.`}

\`\`\`sh
head -n -2 manifest.json | sha256sum     # prints what the manifest's last member says
sh tablets.sh /some/space                # tablet-<old id>/… for every tablet, each file checked
\`\`\`

${sections.join('\n\n')}

## The schema scripts
They are what \`ysql_dump --include-yb-metadata\` wrote, with the quotes that it leaves out around some names. Of the shell's own commands they hold \`\\if\`, \`\\set\`, \`\\gset\`, \`\\echo\`, \`\\connect\`
and \`\\restrict\` alone: a backup with any other is refused, since a name in a database can look like a command, and \`ysqlsh\` would run it. (Holdfast itself runs the statements in a session of its own, without a shell.)
A script that begins with \`\\restrict\` needs a \`ysqlsh\` that knows that command: of 2025.2.7, 2026.1.2 or newer. Run them as a superuser: \`yb_binary_restore\` is for nobody else.

## The files
\`import_snapshot\` prints a table: for each tablet its old and its new id, and at the end the new snapshot's. For **every** replica of every new tablet (\`yb-admin list_tablet_servers NEW_TABLET\`, read
replicas too) copy \`tablet-OLD/\` on that node to

\`\`\`
<data directory>/yb-data/tserver/data/rocksdb/table-NEW_TABLE/tablet-NEW_TABLET.snapshots/NEW_SNAPSHOT/
\`\`\`

on the data directory that has \`tablet-NEW_TABLET\`, owned by the user of the tablet server. **Look that none is missing before \`restore_snapshot\`**: a tablet server that lacks one dies, and dies again at each start.
`;
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** ysqlsh would take a name with `=` or a slash for a connection string, so this makes one. */
function connectionString(database: string): string {
  return `dbname='${database.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n`]/g, ' ');
}
