import type { ReplayReport } from '../../../model/replay.ts';
import { quoteIdentifier, quoteTable } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';

interface OwnedSequence {
  readonly sequence: string;
  readonly increment: string;
  readonly table: string;
  readonly column: string;
}

/**
 * Raises sequences beyond every value that was used by the instant: to the furthest of their own value, the archive's value, and the values
 * in the column that they feed. May be called again. A sequence may end further than the source's was at that instant, but never behind it.
 */
export async function raiseSequences(session: Session, archived: ReplayReport['sequences']): Promise<void> {
  for (const { schema, name, lastValue } of archived) {
    await raise(session, quoteTable({ schema, table: name }), 'SELECT $2::bigint', lastValue);
  }
  const owned = await session.query<OwnedSequence>(
    'list the sequences that feed columns',
    `SELECT format('%I.%I', sn.nspname, s.relname) AS sequence, format('%I.%I', tn.nspname, t.relname) AS table, a.attname AS column
     FROM pg_catalog.pg_depend d
     JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
     JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p') JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
     JOIN pg_catalog.pg_type y ON y.oid = a.atttypid AND y.typcategory = 'N'
     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
       AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 ORDER BY 1`,
  );
  for (const { sequence, table, column } of owned) {
    const furthest = `SELECT (CASE WHEN q.seqincrement > 0 THEN max(t.${quoteIdentifier(column)}) ELSE min(t.${quoteIdentifier(column)}) END)::bigint FROM ${table} AS t`;
    await raise(session, sequence, furthest);
  }
}

/** @param value a query of one number, which may use `q`, the sequence's row of `pg_sequence` */
async function raise(session: Session, sequence: string, value: string, parameter?: string): Promise<void> {
  await session.query(
    `raise sequence ${sequence}`,
    `SELECT pg_catalog.setval(q.seqrelid::regclass, LEAST(GREATEST(w.value, q.seqmin), q.seqmax), true)
     FROM pg_catalog.pg_sequence q
     CROSS JOIN LATERAL (SELECT (${value}) AS value) AS w
     CROSS JOIN LATERAL (SELECT pg_catalog.pg_sequence_last_value(q.seqrelid) AS value) AS present
     WHERE q.seqrelid = to_regclass($1) AND w.value IS NOT NULL
       AND (present.value IS NULL OR CASE WHEN q.seqincrement > 0 THEN w.value > present.value ELSE w.value < present.value END)`,
    parameter === undefined ? [sequence] : [sequence, parameter],
  );
}
