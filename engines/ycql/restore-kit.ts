import { formatAmount } from '../../model/amounts.ts';
import type { DataObject } from '../../model/backup.ts';
import { lossesIn, type Manifest, type ManifestDatabase, unreadIn } from '../../model/manifest.ts';
import type { KitFile } from '../engine.ts';
import { kitChecksums } from '../kit-checksums.ts';
import { LOAD_SCRIPT } from './restore-kit-script.ts';

/**
 * The kit: `RESTORE.md`; `load.mjs`, which reads the objects and writes their rows with nothing but Node and Cassandra's driver; and `SHA256SUMS`
 * over everything that they use. Pure.
 */
export function restoreKit(manifest: Manifest, dataObjects: readonly DataObject[]): readonly KitFile[] {
  const script = { key: 'load.mjs', text: LOAD_SCRIPT };
  return [
    { key: 'RESTORE.md', text: guide(manifest) },
    script,
    kitChecksums(manifest, dataObjects, [script]),
  ];
}

function guide(manifest: Manifest): string {
  const { server, scanned, readPoint, totals, databases } = manifest;
  const when = scanned === undefined ? readPoint.takenAt : `between ${scanned.from} and ${scanned.to}`;
  const losses = lossesIn(manifest);
  const unread = unreadIn(manifest);
  return `# Restore without Holdfast

Backup \`${manifest.backup}\` of plan \`${manifest.plan}\`: ${formatAmount(totals.rows, 'row')} in ${formatAmount(totals.tables, 'table')} of ${server.product} ${server.version},
read ${when} at consistency level ${readPoint.kind === 'scan' ? readPoint.consistencyLevel : 'unknown'}: a scan, not one instant.

You need \`sha256sum\`, \`cqlsh\` (or \`ycqlsh\`), Node 22.15 or newer with \`npm install cassandra-driver@4.10.0\`, and this backup's folder on a disk.
Run all commands in the backup's folder.

## 1. Check that every byte is as it was written

\`\`\`sh
sha256sum --check --quiet SHA256SUMS
\`\`\`

## 2. Create keyspaces, types, tables and indexes

Edit the replication in the scripts first, where the new cluster is another one.

\`\`\`sh
${databases.map((database) => `cqlsh --file ${scriptOf(database)}`).join('\n')}
\`\`\`

## 3. Write the rows

\`\`\`sh
node load.mjs HOST PORT DATA_CENTER [KEYSPACE=NEW_NAME …]   # CQL_USER and CQL_PASSWORD for the login
\`\`\`

It writes every cell with its time of writing (\`WRITE_TIMES=no\` leaves that to the server, which YugabyteDB is faster with) and with what
is left of its time to live, and skips what has expired. Elements of one collection that differ in either are written with the oldest
time and without expiry; Holdfast itself writes them one by one. Counters are added to, so run it once into empty tables.

## What is where

\`manifest.json\` describes the backup: each keyspace with its tables, each object with its table, columns, rows, size and SHA-256.
\`schema/…/schema-….json\` is the schema as data. An object in \`data/\` is zstd over: 8 bytes \`HFCQLPG\` and 1; a 32-bit length and that much
JSON, which names the columns; then pages, each with the count of its rows (32 bits), its length (32 bits), when it was read (64 bits,
milliseconds since 1970, from which TTLs count), and the rows: for each row and column a 32-bit length (-1: null) and the value as the
CQL protocol (version 4) has it. All numbers are big-endian.
${listOf('What could not be read, and is missing in the backup', unread)}${listOf('What the backup does not carry', losses)}`;
}

function listOf(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `\n## ${title}\n\n${lines.map((line) => `- ${line}\n`).join('')}`;
}

function scriptOf({ schemaObjects }: ManifestDatabase): string {
  return schemaObjects.find(({ key }) => key.endsWith('.cql'))?.key ?? '';
}
