import type { VerbContext } from '../../engine.ts';
import type { Relation } from './catalog.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { quoteLiteral, quoteTable, tableName } from './identifiers.ts';
import { withPresent } from './reader.ts';
import type { Session } from './session.ts';

const SEQUENCES_PER_QUERY = 200;

/**
 * Returns the script that sets these sequences to their present values, and the names of those that were dropped since the read point. It uses a session without a read time, since on
 * YugabyteDB one with a read time would see old values.
 */
export async function sequencesScript(
  verb: VerbContext,
  target: ConnectionTarget,
  database: string,
  sequences: readonly Relation[],
): Promise<{ readonly script: string; readonly gone: readonly string[] }> {
  const gone: string[] = [];
  const lines = ['-- Values of sequences, read after the last row of the backup.'];
  await withPresent(target, database, verb.signal, async (session) => {
    const names = await presentNames(session, sequences);
    const present = sequences.flatMap((sequence) => {
      const now = names.get(sequence.oid);
      if (now === undefined) gone.push(tableName(sequence));
      return now === undefined ? [] : [{ sequence, now }];
    });
    for (let at = 0; at < present.length; at += SEQUENCES_PER_QUERY) {
      const some = present.slice(at, at + SEQUENCES_PER_QUERY);
      const values = await readValues(
        session,
        some.map(({ now }) => now),
      );
      for (const [index, { sequence }] of some.entries()) {
        const value = values[index];
        if (value === undefined) continue;
        const name = quoteLiteral(quoteTable(sequence));
        lines.push(`SELECT pg_catalog.setval(${name}, ${value.last}, ${value.called});`);
      }
    }
  });
  return { script: `${lines.join('\n')}\n`, gone };
}

/** A sequence may have another name now than at the read point, and its old name may be another one's. */
interface NamedSequence {
  readonly oid: string;
  readonly schema: string;
  readonly table: string;
}

/** Returns the present names of these sequences, by object id. */
async function presentNames(
  session: Session,
  sequences: readonly Relation[],
): Promise<ReadonlyMap<string, NamedSequence>> {
  const rows = await session.query<NamedSequence>(
    'list the sequences',
    `SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS table FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND c.oid = ANY ($1::oid[])`,
    [sequences.map(({ oid }) => oid)],
  );
  return new Map(rows.map((row) => [row.oid, row]));
}

async function readValues(
  session: Session,
  sequences: readonly NamedSequence[],
): Promise<readonly { readonly last: string; readonly called: boolean }[]> {
  const selects = sequences.map(
    (sequence, index) =>
      `SELECT ${index} AS position, last_value::text AS last, is_called AS called FROM ${quoteTable(sequence)}`,
  );
  return await session.query<{ last: string; called: boolean }>(
    `read the sequences of database "${session.database}"`,
    `${selects.join(' UNION ALL ')} ORDER BY position`,
  );
}
