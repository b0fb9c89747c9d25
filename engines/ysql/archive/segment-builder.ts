import { type Lsn, lsnOf } from '../../../model/archive.ts';
import { permanent } from '../../../model/errors.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import { decodeHead } from './messages.ts';

/** Text that becomes one zstd frame. */
const BLOCK_BYTES = 1024 * 1024;
const ZSTD_LEVEL = 1;

/** A segment that is complete: it ends behind a commit. */
export interface ClosedSegment {
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly minCommitMicros: number;
  readonly maxCommitMicros: number;
  readonly transactions: number;
  readonly messages: number;
  /** zstd frames of the framed messages, without the header's line. */
  readonly frames: readonly Buffer[];
  readonly storedBytes: number;
}

/**
 * Makes segments of messages. Everything that a transaction consists of goes into one segment, and each segment has the Relation messages
 * that it needs (C5 of the archive's invariants), so that it can be read alone.
 */
export class SegmentBuilder {
  readonly #amend: (relation: Buffer) => Buffer;
  readonly #relations = new Map<number, Buffer>();
  readonly #types = new Map<number, Buffer>();
  /** Of the segment under way. */
  #described = new Set<number>();
  #frames: Buffer[] = [];
  #storedBytes = 0;
  /** What was held when the open transaction began. */
  #heldBefore = 0;
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES);
  #blockBytes = 0;
  #transactions = 0;
  #messages = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;
  #openedAt: number | undefined;
  #inTransaction = false;
  #skipping = false;
  /** Where the segment under way begins, and where the last whole transaction ends. */
  #start: bigint;
  #end: bigint;

  /**
   * @param from the archive's end: transactions that end there or before are stored already, and are skipped
   * @param amend makes of a Relation message what is stored
   */
  constructor(from: bigint, amend: (relation: Buffer) => Buffer = (relation) => relation) {
    this.#start = from;
    this.#end = from;
    this.#amend = amend;
  }

  /** End of the last transaction that was taken whole. */
  get end(): bigint {
    return this.#end;
  }

  get inTransaction(): boolean {
    return this.#inTransaction;
  }

  /** Whether there is nothing that isn't closed. */
  get isEmpty(): boolean {
    return this.#messages === 0 && !this.#inTransaction;
  }

  /** Bytes that a segment under way holds in memory, compressed ones and the block that isn't yet. */
  get heldBytes(): number {
    return this.#storedBytes + this.#blockBytes;
  }

  /** Of these, bytes of a transaction that has not ended yet; 0 between transactions. */
  get openTransactionBytes(): number {
    return this.#inTransaction ? this.heldBytes - this.#heldBefore : 0;
  }

  /** When its first transaction arrived, milliseconds since 1970; undefined while it is empty. */
  get openedAt(): number | undefined {
    return this.#openedAt;
  }

  /** Returns true at the end of a transaction that belongs to the segment: it may be closed now. */
  take(payload: Buffer, nowMs: number): boolean {
    const message = decodeHead(payload);
    switch (message.kind) {
      case 'begin':
        this.#inTransaction = true;
        this.#heldBefore = this.heldBytes;
        // The record of a commit that ends at or before the archive's end begins before it (C3).
        this.#skipping = message.commitLsn < this.#end;
        if (this.#skipping) return false;
        this.#openedAt ??= nowMs;
        break;
      case 'relation':
        return this.#relation(message.oid, Buffer.from(this.#amend(payload)));
      case 'type':
        this.#types.set(message.oid, Buffer.from(payload));
        break;
      case 'change':
        if (!this.#skipping) for (const relation of message.oids) this.#describe(relation);
        break;
      case 'commit':
        this.#inTransaction = false;
        if (this.#skipping) {
          this.#skipping = false;
          return false;
        }
        this.#append(payload);
        this.#transactions += 1;
        this.#end = message.endLsn;
        this.#min = Math.min(this.#min, Number(message.commitMicros));
        this.#max = Math.max(this.#max, Number(message.commitMicros));
        return true;
      case 'other':
        break;
    }
    if (!this.#skipping) this.#append(payload);
    return false;
  }

  #relation(oid: number, described: Buffer): false {
    this.#relations.set(oid, described);
    if (this.#skipping) return false;
    this.#described.add(oid);
    this.#append(described);
    return false;
  }

  /** Compressed blocks so far, taken out of memory: a transaction is larger than a segment, and its parts are stored as they come. */
  takeFrames(): readonly Buffer[] {
    this.#flushBlock();
    const frames = this.#frames;
    this.#frames = [];
    this.#storedBytes = 0;
    this.#heldBefore = 0;
    return frames;
  }

  /** Ends the segment behind the last commit. Only between transactions. */
  close(): ClosedSegment {
    if (this.#inTransaction) throw new TypeError('a segment was closed within a transaction');
    const frames = this.takeFrames();
    const closed: ClosedSegment = {
      startLsn: lsnOf(this.#start),
      endLsn: lsnOf(this.#end),
      minCommitMicros: this.#min,
      maxCommitMicros: this.#max,
      transactions: this.#transactions,
      messages: this.#messages,
      frames,
      storedBytes: frames.reduce((sum, { length }) => sum + length, 0),
    };
    this.#start = this.#end;
    this.#described = new Set();
    this.#transactions = 0;
    this.#messages = 0;
    this.#min = Number.POSITIVE_INFINITY;
    this.#max = 0;
    this.#openedAt = undefined;
    return closed;
  }

  /** Nothing was committed up to here. Only while it is empty. */
  closeIdle(position: bigint, micros: number): ClosedSegment {
    if (!this.isEmpty) throw new TypeError('an idle segment was closed that holds messages');
    const startLsn = lsnOf(this.#start);
    this.#start = position;
    this.#end = position;
    return {
      startLsn,
      endLsn: lsnOf(position),
      minCommitMicros: micros,
      maxCommitMicros: micros,
      transactions: 0,
      messages: 0,
      frames: [],
      storedBytes: 0,
    };
  }

  /** The server describes a relation once in a connection. A segment that begins later gets the description again. */
  #describe(relation: number): void {
    if (this.#described.has(relation)) return;
    const known = this.#relations.get(relation);
    if (known === undefined) {
      throw permanent(
        'ARCHIVE_UNKNOWN_RELATION',
        `The source sent a change of a relation (${relation}) that it did not describe`,
        'Report this: the stream of changes is not as PostgreSQL documents it.',
      );
    }
    if (this.#described.size === 0) for (const type of this.#types.values()) this.#append(type);
    this.#described.add(relation);
    this.#append(known);
  }

  #append(payload: Buffer): void {
    const size = 4 + payload.length;
    if (this.#blockBytes + size > BLOCK_BYTES) this.#flushBlock();
    if (size > BLOCK_BYTES) {
      const frame = Buffer.allocUnsafe(size);
      frame.writeUInt32BE(payload.length, 0);
      payload.copy(frame, 4);
      this.#keep(compressFrame(frame, ZSTD_LEVEL));
    } else {
      this.#block.writeUInt32BE(payload.length, this.#blockBytes);
      payload.copy(this.#block, this.#blockBytes + 4);
      this.#blockBytes += size;
    }
    this.#messages += 1;
  }

  #flushBlock(): void {
    if (this.#blockBytes === 0) return;
    this.#keep(compressFrame(this.#block.subarray(0, this.#blockBytes), ZSTD_LEVEL));
    this.#blockBytes = 0;
  }

  #keep(frame: Buffer): void {
    this.#frames.push(frame);
    this.#storedBytes += frame.length;
  }
}
