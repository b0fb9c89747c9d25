import { permanent } from '../../../model/errors.ts';
import { lockRoom, requireRoomForLocks, slicesOf } from '../lock-budget.ts';
import type { Relation } from '../server/catalog.ts';
import { outlineDump } from '../server/dump-script.ts';
import type { Session } from '../server/session.ts';
import { expectedObjects, requireEachOnce } from './account.ts';
import { mergeSlices } from './merge.ts';
import { lockedThroughViews, type OwnedSequence, ownedSequences, plainTables } from './plain-tables.ts';
import { ARGUMENT_BYTES, argumentBytes, tablePatterns } from './table-patterns.ts';

/** What each run of the dump program locks, when the tables are too many for one run. */
interface DumpSlices {
  /** Plain tables, by the run that dumps them. */
  readonly slices: readonly (readonly Relation[])[];
  /** Sequences of the plain tables' columns. */
  readonly sequences: readonly OwnedSequence[];
  /** How many tables and sequences are locked by the run that dumps everything else. */
  readonly rest: number;
}

/**
 * Divides the tables of the session's database into slices. The session must be in a transaction.
 *
 * @param lockable what a dump would lock
 * @param most how many may be locked at once
 */
export async function divide(
  session: Session,
  lockable: readonly Relation[],
  most: number,
): Promise<DumpSlices> {
  const plain = await plainTables(session, lockable);
  const oids = plain.map(({ oid }) => oid);
  const sequences = await ownedSequences(session, oids);
  const sliced = new Set([...oids, ...sequences.map(({ oid }) => oid)]);
  const others = lockable.filter(({ oid }) => !sliced.has(oid)).length;
  return {
    slices: slicesOf(plain, most),
    sequences,
    rest: others + (await lockedThroughViews(session, oids)),
  };
}

/**
 * Dumps the schema of a database that has more tables than the server has room for locks. Plain tables are dumped in slices: each slice is a
 * separate run, whose locks end with it. One more run dumps everything else. That run also reads sequences, though it writes no values, so it
 * excludes those of plain tables by name. A run for the schema alone would read none, but it would also leave out the statements that fill
 * materialized views.
 *
 * @param dump runs the program with further arguments, and returns what it wrote
 * @throws HoldfastError `YSQL_TOO_FEW_LOCKS` (permanent) when the rest is too much for one run; `DUMP_IN_SLICES` (permanent)
 */
export async function dumpInSlices(
  reader: Session,
  lockable: readonly Relation[],
  most: number,
  dump: (args: readonly string[]) => Promise<string>,
): Promise<string> {
  const { slices, sequences, rest } = await divide(reader, lockable, most);
  const { maxConnections } = await lockRoom(reader);
  requireRoomForLocks({ relations: rest, most, maxConnections });
  const sliced = slices.flat();
  const exclusions = tablePatterns([...sliced, ...sequences]).map((pattern) => `--exclude-table=${pattern}`);
  if (argumentBytes(exclusions) > ARGUMENT_BYTES) throw tooManyNames(reader.database, sliced.length);
  const expected = await expectedObjects(
    reader,
    sliced.map(({ oid }) => oid),
  );
  const ofRest = await dump([...exclusions, '--create']);
  const ofSlices: string[] = [];
  for (const slice of slices) {
    const patterns = tablePatterns(slice).map((pattern) => `--table=${pattern}`);
    ofSlices.push(await dump([...patterns, '--schema-only']));
  }
  const entriesOf = (script: string) => outlineDump(script).entries;
  requireEachOnce(reader.database, expected, ofSlices.flatMap(entriesOf), entriesOf(ofRest));
  return mergeSlices(ofRest, ofSlices);
}

function tooManyNames(database: string, tables: number): Error {
  return permanent(
    'YSQL_TOO_FEW_LOCKS',
    `Database "${database}" has ${tables} tables to dump in slices, and their names are more than a program takes as arguments`,
    'Raise max_locks_per_transaction so far that all tables can be locked at once (doctor does the sum), or back up fewer tables in one plan.',
  );
}
