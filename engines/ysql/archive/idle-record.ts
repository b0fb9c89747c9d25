import { positionOf } from '../../../model/archive.ts';
import type { Session } from '../server/session.ts';
import { moveIdlePosition } from './postgresql-source.ts';
import type { ArchiveSource, Moment } from './source-kind.ts';

/**
 * A commit's time is taken a moment before its record is written (0.03 % of commits lie below the running maximum, by at most 2.8 ms:
 * facts, change archive, section 2). Idle time is told with this margin.
 */
const CLOCK_MARGIN_MICROS = 1_000_000;

/**
 * How the end of an idle PostgreSQL moves: its keepalives say that nothing committed up to a position, and its clock, asked before, up to which time. Where
 * nothing at all is written, a record is.
 */
export class IdleRecord {
  readonly #source: ArchiveSource;
  readonly #session: Session;
  /** Of the whole server: then a record is written. */
  readonly #idleMs: number;
  /** Of this database, while others of the server are written to. */
  readonly #lagMs: number;
  #moment: Moment | undefined;
  /** What was asked of the source: nothing yet; the clock and a position; and to write a record, which makes it send one. */
  #asked: 'nothing' | 'moment' | 'record' = 'nothing';
  /** The server told a position behind what is stored, though nothing came: another database of it is written to. */
  #isServerAhead = false;

  constructor(
    source: ArchiveSource,
    session: Session,
    waits: { readonly idleMs: number; readonly lagMs: number },
  ) {
    this.#source = source;
    this.#session = session;
    this.#idleMs = waits.idleMs;
    this.#lagMs = waits.lagMs;
  }

  /** Something was stored. */
  reset(): void {
    this.#asked = 'nothing';
    this.#isServerAhead = false;
    this.#moment = undefined;
  }

  /** Up to which time nothing committed before a position that the server told; undefined where that isn't known. */
  untilAt(position: bigint): number | undefined {
    this.#isServerAhead = true;
    const moment = this.#moment;
    if (moment === undefined || position < positionOf(moment.lsn)) return undefined;
    this.#moment = undefined;
    return moment.micros - CLOCK_MARGIN_MICROS;
  }

  /** What is to be asked of the source after so long without anything to store. */
  due(idleMs: number): (() => Promise<void>) | undefined {
    if (this.#asked !== 'record' && idleMs >= this.#idleMs) return this.#ask('record');
    // A plan's databases reach an instant together, so an idle one must not hold the others up. A server that moves by itself needs no record
    // of ours, which would move the other databases' archives in turn.
    const isHeldUp = this.#asked === 'nothing' && this.#isServerAhead && idleMs >= this.#lagMs;
    return isHeldUp ? this.#ask('moment') : undefined;
  }

  #ask(what: 'moment' | 'record'): () => Promise<void> {
    this.#asked = what;
    return async () => {
      if (what === 'record') await moveIdlePosition(this.#session);
      this.#moment = await this.#source.readMoment(this.#session);
    };
  }
}
