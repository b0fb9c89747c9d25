import { isUtf8 } from 'node:buffer';
import type { LogicalReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import type { Relation, Selection } from './catalog.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { withoutEntries } from './dump-script.ts';
import { cutAtRows } from './dump-sections.ts';
import { type Executable, findExecutable, hasOption, runProgram } from './executables.ts';
import { quoteTable } from './identifiers.ts';
import type { Server } from './server.ts';
import { onlyRow, type Session, withSession } from './session.ts';

/** The schema of one database as plain SQL that psql runs. */
export interface SchemaScripts {
  /** CREATE DATABASE, its settings, comment and grants. */
  readonly database: string;
  readonly preData: string;
  readonly postData: string;
}

interface SchemaSource {
  readonly verb: VerbContext;
  readonly target: ConnectionTarget;
  readonly readPoint: LogicalReadPoint;
  readonly server: Server;
}

/** Dumps the schema of the reader's database at the read point. Throws `READ_POINT_LOST` when it no longer is what it was then. */
export async function dumpSchema(
  from: SchemaSource,
  reader: Session,
  selection: Selection,
): Promise<SchemaScripts> {
  const executable = await findExecutable('dump', from.server);
  // Large objects have a script of their own; pg_dump up to 16 would write them into pre-data.
  const args = [
    '--encoding=UTF8',
    '--lock-wait-timeout=30000',
    '--no-blobs',
    ...selection.excluded.map(excludeArgument),
  ];
  const { readPoint } = from;
  if (readPoint.kind === 'pg-snapshot') {
    args.push(`--snapshot=${readPoint.snapshots[reader.database]}`);
    return await dumpSections(from, executable, reader, args);
  }
  if (readPoint.kind === 'yb-read-time' && (await hasOption(executable, '--read-time'))) {
    return await dumpSections(from, executable, reader, [...args, `--read-time=${readPoint.micros}`]);
  }
  return await dumpPresent(from, executable, reader, args);
}

const DUMP_ROUNDS = 5;

/**
 * For programs that can't dump as of an instant: dumps the present, and makes sure that the schema didn't change meanwhile
 * (catalog version) nor since the read point (fingerprint).
 */
async function dumpPresent(
  from: SchemaSource,
  executable: Executable,
  reader: Session,
  args: readonly string[],
): Promise<SchemaScripts> {
  const { verb, target } = from;
  const wanted = await schemaFingerprint(reader);
  for (let round = 1; ; round += 1) {
    const before = await presentSchema(target, reader.database, verb.signal);
    if (before.fingerprint !== wanted) throw schemaChanged(reader.database);
    const scripts = await dumpSections(from, executable, reader, args);
    const after = await presentSchema(target, reader.database, verb.signal);
    if (after.catalogVersion === before.catalogVersion) return scripts;
    if (after.fingerprint !== wanted || round === DUMP_ROUNDS) throw schemaChanged(reader.database);
    verb.log('the catalog changed during the schema dump: once more', { database: reader.database, round });
  }
}

async function presentSchema(target: ConnectionTarget, database: string, signal: AbortSignal) {
  return await withSession(target, database, signal, async (session) => {
    const rows = await session.query<{ version: string }>(
      'read the catalog version',
      'SELECT yb_catalog_version()::text AS version',
    );
    return {
      catalogVersion: onlyRow(rows, 'the catalog version').version,
      fingerprint: await schemaFingerprint(session),
    };
  });
}

/** Changes whenever a table, column, constraint, index, routine or trigger of the session's database does. */
export async function schemaFingerprint(session: Session): Promise<string> {
  const rows = await session.query<{ fingerprint: string }>(
    `fingerprint the schema of database "${session.database}"`,
    `SELECT md5(concat_ws('/',
       (SELECT string_agg(md5(concat_ws(',', oid, relname, relnamespace, relkind, relowner, reloptions, relacl)), '' ORDER BY oid)
          FROM pg_catalog.pg_class WHERE oid >= 16384 AND relpersistence <> 't'),
       (SELECT string_agg(md5(concat_ws(',', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attisdropped)), ''
          ORDER BY a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
          WHERE a.attrelid >= 16384 AND c.relpersistence <> 't'),
       (SELECT string_agg(md5(concat_ws(',', oid, conname, conrelid, convalidated)), '' ORDER BY oid)
          FROM pg_catalog.pg_constraint WHERE oid >= 16384),
       (SELECT string_agg(md5(concat_ws(',', oid, proname, prosrc, proacl)), '' ORDER BY oid)
          FROM pg_catalog.pg_proc WHERE oid >= 16384),
       (SELECT string_agg(md5(concat_ws(',', oid, tgname, tgrelid, tgenabled)), '' ORDER BY oid)
          FROM pg_catalog.pg_trigger WHERE oid >= 16384)
     )) AS fingerprint`,
  );
  return onlyRow(rows, 'the fingerprint').fingerprint;
}

function schemaChanged(database: string): Error {
  return permanent(
    READ_POINT_LOST,
    `The schema of database "${database}" changed after the read point`,
    'A new read point is opened. Back up while no DDL runs if this repeats.',
  );
}

async function dumpSections(
  { verb, target }: SchemaSource,
  executable: Executable,
  reader: Session,
  args: readonly string[],
): Promise<SchemaScripts> {
  const { database } = reader;
  // Both sections at once: only together do they stand in the order in which they can be made again.
  const sections = ['--section=pre-data', '--section=post-data', '--create'];
  const output = await runProgram(executable, target, database, [...args, ...sections], verb.signal);
  const { preData, postData } = cutAtRows(utf8(output, database));
  return {
    database: withoutEntries(preData, (entry) => !describesDatabase(entry)),
    preData: withoutEntries(preData, describesDatabase),
    postData,
  };
}

/** The entries that `--create` adds; their tag starts with `DATABASE` where their type is COMMENT, ACL or SECURITY LABEL. */
export function describesDatabase(entry: {
  readonly type: string;
  readonly name: string;
  readonly schema: string | undefined;
}): boolean {
  if (entry.type.startsWith('DATABASE')) return true;
  return entry.schema === undefined && entry.name.startsWith('DATABASE ');
}

export function utf8(script: Buffer, database: string): string {
  if (isUtf8(script)) return script.toString('utf8');
  throw permanent(
    'YSQL_CANNOT_CARRY',
    `The schema of database "${database}" (names, comments or function bodies) holds text that is not valid UTF-8`,
    'Such text can only be in a SQL_ASCII database: rename or rewrite the objects that hold it.',
  );
}

/** Quotes make pg_dump's pattern characters literal. */
function excludeArgument(relation: Relation): string {
  return `--exclude-table=${quoteTable(relation)}`;
}

/** Leaves out foreign keys that refer to tables which are left out; the plan's patterns ask for it. */
export async function withoutDanglingForeignKeys(
  reader: Session,
  postData: string,
  selection: Selection,
): Promise<string> {
  if (selection.excluded.length === 0) return postData;
  const rows = await reader.query<{ schema: string; tag: string }>(
    'list the foreign keys to excluded tables',
    `SELECT n.nspname AS schema, c.relname || ' ' || k.conname AS tag FROM pg_catalog.pg_constraint k
     JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.confrelid = ANY ($1::oid[])`,
    [selection.excluded.map(({ oid }) => oid)],
  );
  const dangling = new Set(rows.map(({ schema, tag }) => `${schema} ${tag}`));
  return withoutEntries(
    postData,
    ({ type, schema, name }) => type === 'FK CONSTRAINT' && dangling.has(`${schema} ${name}`),
  );
}

/** Roles, their memberships and settings, and tablespaces. */
export async function dumpGlobals(
  { verb, target, server }: Pick<SchemaSource, 'verb' | 'target' | 'server'>,
  globals: Exclude<YsqlSource['globals'], 'none'>,
): Promise<string> {
  const executable = await findExecutable('dumpall', server);
  const args = ['--globals-only', `--database=${target.database}`];
  if (globals === 'roles') args.push('--no-role-passwords');
  const script = await runProgram(executable, target, target.database, args, verb.signal);
  return withoutEntries(utf8(script, 'the cluster'), () => false);
}
