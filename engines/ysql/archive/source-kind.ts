import type { ArchivePolicy, Lsn, Timeline, TimelineEndCode } from '../../../model/archive.ts';
import type { Server } from '../server/server.ts';
import type { Session } from '../server/session.ts';
import type { TableReading } from './tables.ts';

/*
 * What an archive of changes has to know of the product that it reads, in one place: everything else of this folder is the same for both.
 */

/** A replication slot as the source shows it. */
export interface Slot {
  /** Who reads it, a clause; null where nobody does. On YugabyteDB, where one that has just left still counts, nobody can say more. */
  readonly reader: string | null;
  /** The source may forget everything before this position: it was acknowledged. */
  readonly confirmedEnd: Lsn;
  /** Why it can't be read any more, a sentence. */
  readonly lost?: string;
  /** Bytes of WAL that the server keeps for it; of YugabyteDB, which doesn't tell, 0. */
  readonly keptBytes: number;
  /** How far back the source keeps changes for it, milliseconds; of PostgreSQL, which counts bytes, absent. */
  readonly keptMs?: number;
  /** Tells it from another slot of the same name; absent on PostgreSQL. */
  readonly streamId?: string;
  /** Everything that committed before this position was sent and acknowledged, or there was nothing; absent on PostgreSQL. */
  readonly safeEnd?: Lsn;
}

export type SourceIdentity = Pick<Timeline, 'systemIdentifier' | 'databaseOid' | 'walTimeline'>;

/** The source's clock, and then a position: what committed at an earlier time lies before it, but for commits that are being written. */
export interface Moment {
  readonly micros: number;
  readonly lsn: Lsn;
}

/** Why a timeline can't go on. */
export interface Obstacle {
  readonly code: TimelineEndCode;
  readonly reason: string;
  /** Absent: the archive's end. */
  readonly lsn?: Lsn;
}

/** Settings of replication of a server. */
export interface ServerSettings {
  readonly walLevel: string;
  readonly maxSlots: number;
  readonly usedSlots: number;
  readonly ownSlots: number;
  readonly maxSenders: number;
  readonly mayReplicate: boolean;
  readonly role: string;
  /** MiB; -1: no limit. */
  readonly maxSlotKeepMiB: number;
}

/** What `doctor` asks of a product. What doesn't hold is thrown. */
export interface SourcePrerequisites {
  /** What makes the server log changes of rows, or throws. */
  logsChanges(server: Server, settings: ServerSettings): string;
  /** Each slot takes a walsender of `max_wal_senders`. */
  readonly needsSenders: boolean;
  /** How long the source keeps what was not read, in words. */
  keeps(settings: ServerSettings, policy: ArchivePolicy): string;
  /** A base meets the stream where it was read: at an instant, that the role must be allowed to set. Absent: an exported snapshot meets it too. */
  baseIsReadAt?(session: Session): Promise<string>;
}

export interface ArchiveSource {
  readonly product: Server['product'];
  /** The decoding plugin that each server of the product has. */
  readonly plugin: 'pgoutput' | 'yboutput';
  readonly positions?: 'hybrid-time';
  readonly tables: TableReading;
  readonly prerequisites: SourcePrerequisites;
  identify(session: Session): Promise<SourceIdentity>;
  /** Undefined where there is none. */
  readSlot(session: Session, name: string): Promise<Slot | undefined>;
  /** Returns where the slot begins: from this position on it has every transaction whole. */
  createSlot(session: Session, name: string): Promise<Pick<Timeline, 'startLsn' | 'streamId'>>;
  readMoment(session: Session): Promise<Moment>;
  /** Which transactions may be open at the begin of a slot; undefined where the position alone tells. */
  readSnapshotXids(session: Session): Promise<string | undefined>;
  /** What ends a timeline, of a slot that is there. */
  slotObstacle(slot: Slot, end: Lsn, policy: ArchivePolicy): Obstacle | undefined;
  /** The position by which START_REPLICATION and feedback name the end of everything before `end`. */
  acknowledged(end: bigint): bigint;
  /** Whether the stream's error says that the source has no longer what the slot lacks, so that no attempt can go on. */
  isExpired(message: string): boolean;
  /** Whether an error of this SQLSTATE passes, besides those that pass on every server. */
  isPassing(code: string): boolean;
  /** Why a slot in use will be free, a clause for people. */
  readonly freesSlots: string;
  /** How long after its last reader has gone the source may call a slot in use, milliseconds. */
  readonly freeWithinMs: number;
  /** That takes so long that whoever opens the next timeline waits for it, not whoever ended the last one. */
  readonly freesLate: boolean;
  /** How often it is looked whether a slot is free, milliseconds. */
  readonly lookEveryMs: number;
  /** Descriptions of tables may lack the marks of the primary key (`relation-keys.ts`). */
  readonly lacksKeyMarks: boolean;
  /**
   * How the end of an idle source moves. `record`: a record is written, and a keepalive behind it says that nothing committed before. `safe-point`: the
   * slot itself shows it; a stream that is begun anew makes the source look.
   */
  readonly idle: 'record' | 'safe-point';
}
