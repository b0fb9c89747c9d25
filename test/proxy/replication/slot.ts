import type { Publications } from './catalogue.ts';
import type { ChangeLog } from './change-log.ts';

export type LsnType = 'SEQUENCE' | 'HYBRID_TIME';
export type SnapshotAction = 'export' | 'use' | 'none';

/** One transaction that a consumer was sent and hasn't acknowledged. */
export interface Unacknowledged {
  readonly commitLsn: bigint;
  readonly hybrid: bigint;
  readonly transactionNumber: number;
}

/** A replication slot, as yb-master keeps it (cdc_state: PopulateCDCStateTable of xrepl_catalog_manager.cc). */
export class Slot {
  readonly name: string;
  readonly plugin: string;
  readonly lsnType: LsnType;
  readonly streamId: string;
  readonly log: ChangeLog;
  /** The consistent point: what commits after it is sent. */
  readonly created: bigint;
  /** Publications, replica identities and keys as of the slot's making, which stay in force for it. */
  readonly publications: Publications;
  /** The first values are these of either LSN type: "first record sent in the streaming phase will have LSN & txnID set to 2". */
  confirmedFlush = 2n;
  restartLsn = 1n;
  restartTransaction = 1;
  restartHybrid: bigint;
  /** Milliseconds since 1970 of the last poll by a consumer; 0: never. */
  polledAt = 0;
  activePid: number | undefined;
  /** How many reads fail from now on as if what they need were gone; without end where it is gone. */
  failingReads = 0;
  /** Reads find nothing any more, and don't say why (issue 33198). */
  stalled = false;
  /** Consumers that have a virtual WAL on it. */
  consumers = 0;

  constructor(made: {
    readonly name: string;
    readonly plugin: string;
    readonly lsnType: LsnType;
    readonly streamId: string;
    readonly log: ChangeLog;
    readonly created: bigint;
    readonly publications: Publications;
  }) {
    this.name = made.name;
    this.plugin = made.plugin;
    this.lsnType = made.lsnType;
    this.streamId = made.streamId;
    this.log = made.log;
    this.created = made.created;
    this.restartHybrid = made.created;
    this.publications = made.publications;
  }

  isActive(windowMs: number): boolean {
    return this.polledAt > 0 && Date.now() - this.polledAt < windowMs;
  }

  /**
   * Takes a consumer's feedback. The place to go on from moves behind the last transaction whose commit LSN was confirmed; where nothing is
   * open, nothing is stored at all (yb_virtual_wal_client.c CalculateRestartLSN, YBCCalculatePersistAndGetRestartLSN). A position that was never
   * sent is believed.
   */
  confirm(flushed: bigint, unacknowledged: Unacknowledged[]): void {
    let last: Unacknowledged | undefined;
    while ((unacknowledged[0]?.commitLsn ?? flushed + 1n) <= flushed) last = unacknowledged.shift();
    if (last === undefined) return;
    this.confirmedFlush = flushed > this.confirmedFlush ? flushed : this.confirmedFlush;
    if (last.hybrid <= this.restartHybrid) return;
    this.restartLsn = last.commitLsn;
    this.restartTransaction = last.transactionNumber;
    this.restartHybrid = last.hybrid;
  }
}
