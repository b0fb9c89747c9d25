import { setTimeout as sleep } from 'node:timers/promises';
import type { Lsn, SegmentHeader } from '../../../model/archive.ts';
import { HoldfastError, transient } from '../../../model/errors.ts';
import { sqlState } from '../server/errors.ts';
import type { Session } from '../server/session.ts';
import type { ArchiveSource, Moment } from './source-kind.ts';

type Sequences = NonNullable<SegmentHeader['sequences']>;

const SEQUENCE_TRIES = 5;
/** A transaction that alters or restarts a sequence may go on for hours. The source must not keep its WAL for so long. */
const SEQUENCE_LOCK_TIMEOUT = '2s';

/**
 * Values of all sequences; undefined where one is locked, or where sequences are dropped again and again: the next segment has them then.
 */
export async function readSequences(session: Session): Promise<Sequences | undefined> {
  for (let tries = 0; tries < SEQUENCE_TRIES; tries += 1) {
    await session.query('begin a transaction', 'BEGIN');
    try {
      await session.query('wait not long', `SET LOCAL lock_timeout = '${SEQUENCE_LOCK_TIMEOUT}'`);
      return await session.query(
        'read the values of sequences',
        `SELECT schemaname AS schema, sequencename AS name, last_value::text AS "lastValue"
         FROM pg_catalog.pg_sequences ORDER BY 1, 2`,
      );
    } catch (error) {
      const state = error instanceof HoldfastError ? sqlState(error.cause) : undefined;
      // 55P03: it is locked. XX000 ("could not open relation with OID …") and 42P01: it was dropped while it was being read.
      if (state === '55P03') return undefined;
      if (state !== 'XX000' && state !== '42P01') throw error;
    } finally {
      if (!session.broken) await session.query('end the transaction', 'ROLLBACK');
    }
  }
  return undefined;
}

/** A node's clock may be behind the one that a transaction committed by: by the skew that YugabyteDB allows, 0.5 s unless it is told otherwise. */
const CLOCK_WITHIN_MS = 10_000;
const CLOCK_LOOK_MS = 20;

/**
 * The source's clock and position. On YugabyteDB, whose nodes have clocks of their own: not before this node's has come to `end`, so that what is read of
 * the schema afterwards is not older than what was streamed. Throws `ARCHIVE_CLOCK_BEHIND` (transient).
 */
export async function momentAfter(
  source: ArchiveSource,
  session: Session,
  end: Lsn,
  signal: AbortSignal,
): Promise<Moment> {
  const deadline = Date.now() + CLOCK_WITHIN_MS;
  for (;;) {
    const moment = await source.readMoment(session);
    if (source.positions === undefined || moment.lsn >= end) return moment;
    if (Date.now() >= deadline) {
      throw transient(
        'ARCHIVE_CLOCK_BEHIND',
        `The clock of the node that is asked for the schema is behind a commit that was streamed (${moment.lsn} before ${end})`,
        'It is tried again. See that the clocks of the nodes are synchronised.',
      );
    }
    await sleep(CLOCK_LOOK_MS, undefined, { signal });
  }
}
