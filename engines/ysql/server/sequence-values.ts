import type { VerbContext } from '../../engine.ts';
import type { Relation } from './catalog.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { quoteLiteral, quoteTable } from './identifiers.ts';
import { withPresent } from './reader.ts';
import type { Session } from './session.ts';

const SEQUENCES_PER_QUERY = 200;

/**
 * Returns the script that sets these sequences to their present values. It uses a session without a read time, since on
 * YugabyteDB one with a read time would see old values.
 */
export async function sequencesScript(
  verb: VerbContext,
  target: ConnectionTarget,
  database: string,
  sequences: readonly Relation[],
): Promise<string> {
  const lines = ['-- Values of sequences, read after the last row of the backup.'];
  await withPresent(target, database, verb.signal, async (session) => {
    const present = await stillThere(session, sequences);
    for (let at = 0; at < present.length; at += SEQUENCES_PER_QUERY) {
      const some = present.slice(at, at + SEQUENCES_PER_QUERY);
      const values = await readValues(session, some);
      for (const [index, sequence] of some.entries()) {
        const value = values[index];
        if (value === undefined) continue;
        const name = quoteLiteral(quoteTable(sequence));
        lines.push(`SELECT pg_catalog.setval(${name}, ${value.last}, ${value.called});`);
      }
    }
  });
  return `${lines.join('\n')}\n`;
}

/** Filters out sequences that were dropped since the read point. A restore gives them their start value. */
async function stillThere(session: Session, sequences: readonly Relation[]): Promise<readonly Relation[]> {
  const rows = await session.query<{ oid: string }>(
    'list the sequences',
    `SELECT oid::text AS oid FROM pg_catalog.pg_class WHERE relkind = 'S' AND oid = ANY ($1::oid[])`,
    [sequences.map(({ oid }) => oid)],
  );
  const present = new Set(rows.map(({ oid }) => oid));
  return sequences.filter(({ oid }) => present.has(oid));
}

async function readValues(
  session: Session,
  sequences: readonly Relation[],
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
