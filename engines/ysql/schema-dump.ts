import type { LogicalReadPoint } from '../../model/backup.ts';
import { HoldfastError, permanent, READ_POINT_LOST } from '../../model/errors.ts';
import { cutAtRows, type SchemaScripts, schemaScripts } from './dump-sections.ts';
import { type Relation, type Selection, takesLock } from './server/catalog.ts';
import { changedNames } from './server/changed-names.ts';
import { withoutEntries } from './server/dump-script.ts';
import { requireDumpOf } from './server/dumped-tables.ts';
import { type DumpSource, utf8 } from './server/globals-dump.ts';
import { quoteTable } from './server/identifiers.ts';
import { type DumpDriver, dumpDriver } from './server/programs/dump-driver.ts';
import { runProgram } from './server/programs/run.ts';
import { withPresent } from './server/reader.ts';
import { schemaFingerprint } from './server/schema-fingerprint.ts';
import { type Session, withSession } from './server/session.ts';
import { dumpInSlices } from './slices/dump-slices.ts';
import { tablesLockedAtOnce } from './slices/unlocked-tables.ts';

interface SchemaSource extends DumpSource {
  readonly readPoint: LogicalReadPoint;
}

/** Dumps the schema of the reader's database at the read point. Throws `READ_POINT_LOST` (permanent) when the schema has changed since then. */
export async function dumpSchema(
  from: SchemaSource,
  reader: Session,
  selection: Selection,
): Promise<SchemaScripts> {
  const driver = await dumpDriver(from.server, from.dumpProgram);
  const args = [
    '--encoding=UTF8',
    '--lock-wait-timeout=30000',
    // Large objects have their own script; pg_dump up to 16 would write them into pre-data.
    '--no-blobs',
    ...(await driver.commonOptions()),
    ...selection.excluded.map(excludeArgument),
  ];
  const atReadPoint = await driver.readPointOptions(from.readPoint, reader.database);
  const isHeld = atReadPoint !== undefined && tablesLockedAtOnce(from.readPoint) === undefined;
  const dump = () => dumpSections(from, driver, reader, [...args, ...(atReadPoint ?? [])], selection);
  const scripts = await (isHeld
    ? dumpHeld(from, reader, dump, selection)
    : dumpUnchanged(from, reader, dump));
  requireDumpOf(reader.database, scripts.preData, selection.dumped, driver.program.path);
  return scripts;
}

/**
 * For dump programs that read at the read point, whose holder locks all tables. Nothing locks the rest: functions, types, materialized views and their
 * indexes, sequences. PostgreSQL's functions show their present, so this checks after the dump that they are still what the read point sees.
 */
async function dumpHeld(
  { verb, target, server }: SchemaSource,
  reader: Session,
  dump: () => Promise<SchemaScripts>,
  { excluded }: Pick<Selection, 'excluded'>,
): Promise<SchemaScripts> {
  if (server.product !== 'postgresql') return await dump();
  const { database } = reader;
  let scripts: SchemaScripts | HoldfastError;
  try {
    scripts = await dump();
  } catch (error) {
    // A change may be what made it fail, such as a view that is gone.
    if (!(error instanceof HoldfastError) || error.transient) throw error;
    scripts = error;
  }
  const leftOut = new Set(excluded.map(({ oid }) => oid));
  const changed = await withPresent(target, database, verb.signal, (now) =>
    changedNames(reader, now, leftOut),
  );
  if (changed.length > 0) throw schemaChanged(database, changed);
  if (scripts instanceof HoldfastError) throw scripts;
  return scripts;
}

/**
 * For dump programs that can't read at an instant, and for read points that don't lock all tables: the server's own functions show the present.
 * Checks before and after the dump that the schema is the same as at the read point. It can't compare catalogue versions, because ANALYZE raises them
 * (yugabyte-db issue 21764).
 */
async function dumpUnchanged(
  { verb, target }: SchemaSource,
  reader: Session,
  dump: () => Promise<SchemaScripts>,
): Promise<SchemaScripts> {
  const wanted = await schemaFingerprint(reader);
  const present = () => withSession(target, reader.database, verb.signal, schemaFingerprint);
  if ((await present()) !== wanted) throw schemaChanged(reader.database);
  const scripts = await dump();
  if ((await present()) !== wanted) throw schemaChanged(reader.database);
  return scripts;
}

const NAMED = 5;

/** @param changed names of what was renamed, replaced or dropped, as far as that is known */
function schemaChanged(database: string, changed: readonly string[] = []): Error {
  const some = changed.slice(0, NAMED).join(', ');
  const more = changed.length > NAMED ? ` and ${changed.length - NAMED} more` : '';
  return permanent(
    READ_POINT_LOST,
    `The schema of database "${database}" changed after the read point${some === '' ? '' : `: ${some}${more}`}`,
    'A new read point is opened. Back up while no DDL runs if this repeats.',
  );
}

async function dumpSections(
  { verb, target, readPoint }: SchemaSource,
  { program }: DumpDriver,
  reader: Session,
  args: readonly string[],
  selection: Selection,
): Promise<SchemaScripts> {
  const { database } = reader;
  // One run dumps both sections, since only then does the script list them in an order in which they can be created.
  const sections = ['--section=pre-data', '--section=post-data'];
  const dump = async (further: readonly string[]) =>
    utf8(
      await runProgram(program, target, database, [...args, ...sections, ...further], verb.signal),
      database,
    );
  const most = tablesLockedAtOnce(readPoint);
  const script =
    most === undefined
      ? await dump(['--create'])
      : await dumpInSlices(reader, selection.read.filter(takesLock), most, dump);
  const { preData, postData } = cutAtRows(script);
  return schemaScripts(preData, postData, selection);
}

/** The quotes make pg_dump's pattern characters literal. */
function excludeArgument(relation: Relation): string {
  return `--exclude-table=${quoteTable(relation)}`;
}

/** Removes foreign keys that refer to tables which the plan's patterns leave out. */
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
