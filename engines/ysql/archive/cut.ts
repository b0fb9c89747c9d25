import { positionOf } from '../../../model/archive.ts';
import { permanent } from '../../../model/errors.ts';
import { microsOfHybridTime } from '../../../model/hybrid-time.ts';
import { isVisible, parseTransactionSnapshot } from '../../../model/transaction-snapshot.ts';
import type { BasePlace } from '../../../planning/archive/base-place.ts';
import type { BeginMessage } from './messages.ts';

/** A transaction by what identifies it, for people. */
export interface TransactionMark {
  readonly xid: number;
  readonly commitLsn: bigint;
  readonly commitMicros: bigint;
}

/** Whether a backup holds a transaction of the stream. */
export type Sight = (transaction: Pick<BeginMessage, 'xid' | 'commitLsn'>) => boolean;

/** What the backup at `place` holds: by its snapshot of PostgreSQL, or everything before its hybrid time. Throws `ARCHIVE_SNAPSHOT` (permanent). */
export function sightOf({ snapshotXids, walLsn }: BasePlace, database: string): Sight {
  if (snapshotXids === undefined) {
    const end = positionOf(walLsn);
    return ({ commitLsn }) => commitLsn < end;
  }
  const snapshot = parseTransactionSnapshot(snapshotXids[database] ?? '');
  return ({ xid }) => isVisible(snapshot, xid);
}

export interface CutOptions {
  /** The instant, microseconds since 1970: what committed at it is in. */
  readonly instantMicros: bigint;
  /** Of the base. */
  readonly sees: Sight;
  /** Positions are hybrid times, so they say when a transaction committed. */
  readonly byHybridTime?: boolean;
  /** The read point of the base, microseconds since 1970, by the source's clock. */
  readonly baseMicros: bigint;
  /**
   * Present for a proof: not the instant decides but what a later backup sees, which is no beginning of the order of commits. Transactions that it
   * doesn't see, before the last one that it sees, touch other rows: theirs were locked until it saw them.
   */
  readonly until?: { readonly sees: Sight; readonly micros: bigint } | undefined;
  /** The last transaction that an earlier attempt applied. */
  readonly applied?: Pick<TransactionMark, 'commitLsn'> | undefined;
}

/** `base`: the base has it. `applied`: an earlier attempt has applied it. `take`: apply it. `after`: it is later than the cut. */
export type Decision = 'base' | 'applied' | 'take' | 'after';

/** The snapshot sees some transactions that committed in another order than they became visible; none that lie so far apart. */
const DOUBT_MICROS = 60_000_000n;

/**
 * Decides for each transaction of the stream, in the order of commits, whether it belongs to the instant. The first one that
 * committed later than the instant ends it, whatever the clocks of later ones say: what is restored is a beginning of the order of commits.
 */
export class Cut {
  readonly #options: CutOptions;
  #newest: TransactionMark | undefined;
  #lastTaken: TransactionMark | undefined;
  #firstLeftOut: TransactionMark | undefined;

  constructor(options: CutOptions) {
    this.#options = options;
  }

  /** The last transaction that belongs to the instant, those of the base included. */
  get lastTaken(): TransactionMark | undefined {
    return this.#lastTaken;
  }

  get firstLeftOut(): TransactionMark | undefined {
    return this.#firstLeftOut;
  }

  /** True when no transaction that follows can matter any more. */
  get isOver(): boolean {
    const { until } = this.#options;
    if (until !== undefined) {
      return this.#newest !== undefined && this.#newest.commitMicros > until.micros + DOUBT_MICROS;
    }
    return (
      this.#firstLeftOut !== undefined &&
      this.#newest !== undefined &&
      this.#newest.commitMicros > this.#options.baseMicros + DOUBT_MICROS
    );
  }

  /**
   * Throws `ARCHIVE_ORDER` where a commit is older than the one before it, and `ARCHIVE_BASE_TOO_NEW` where the base holds a
   * transaction that is later than the instant (both permanent).
   */
  decide({ xid, commitLsn, commitMicros: told }: BeginMessage): Decision {
    const { instantMicros, sees, applied, until, byHybridTime } = this.#options;
    const commitMicros = byHybridTime === true ? microsOfHybridTime(commitLsn) : told;
    const mark: TransactionMark = { xid, commitLsn, commitMicros };
    if (this.#newest !== undefined && commitLsn <= this.#newest.commitLsn) {
      throw permanent(
        'ARCHIVE_ORDER',
        `The archive has ${describeTransaction(mark)} after ${describeTransaction(this.#newest)}: commits must come in order`,
        'The archive is damaged there: restore an instant before it.',
      );
    }
    this.#newest = mark;
    const isInBase = sees(mark);
    if (until !== undefined) {
      if (!until.sees(mark)) {
        this.#firstLeftOut ??= mark;
        return 'after';
      }
    } else {
      if (this.#firstLeftOut === undefined && commitMicros > instantMicros) this.#firstLeftOut = mark;
      if (this.#firstLeftOut !== undefined) {
        if (isInBase) throw tooNew(mark, this.#firstLeftOut);
        return 'after';
      }
    }
    this.#lastTaken = mark;
    if (isInBase) return 'base';
    return applied !== undefined && commitLsn <= applied.commitLsn ? 'applied' : 'take';
  }
}

function tooNew(mark: TransactionMark, firstLeftOut: TransactionMark): Error {
  return permanent(
    'ARCHIVE_BASE_TOO_NEW',
    `The backup holds ${describeTransaction(mark)}, but the instant ends before ${describeTransaction(firstLeftOut)}`,
    'The instant lies while the backup began: ask for a later one, or name an older backup.',
  );
}

/** `transaction 734 at 0/15F3A28 (2026-11-29T14:03:07.250123Z)` */
export function describeTransaction({ xid, commitLsn, commitMicros }: TransactionMark): string {
  return `transaction ${xid} at ${formatLsn(commitLsn)} (${formatMicros(commitMicros)})`;
}

/** As PostgreSQL writes it: `16/B374D848`. */
export function formatLsn(lsn: bigint): string {
  const hex = (part: bigint) => part.toString(16).toUpperCase();
  return `${hex(lsn >> 32n)}/${hex(lsn & 0xffff_ffffn)}`;
}

/** ISO 8601 in UTC with microseconds. */
export function formatMicros(micros: bigint): string {
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = Number((micros - fraction) / 1_000_000n);
  const iso = new Date(seconds * 1000).toISOString();
  return `${iso.slice(0, -5)}.${fraction.toString().padStart(6, '0')}Z`;
}
