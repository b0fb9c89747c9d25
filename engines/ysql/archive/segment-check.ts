import {
  lsnOf,
  positionOf,
  postgresLsn,
  type SegmentHeader,
  type SegmentName,
} from '../../../model/archive.ts';
import { permanent } from '../../../model/errors.ts';
import { tableName } from '../server/identifiers.ts';
import {
  type BeginMessage,
  type CommitMessage,
  decodeMessage,
  type RelationMessage,
  type Tuple,
} from './messages.ts';

/**
 * Compares the messages of one segment with each other, with its header and with its name: what a reader can know without another copy
 * of the changes. A row's message that is missing, with everything else right, can't be seen here; the proof sees it (prove.ts).
 */
export class SegmentCheck {
  readonly #name: SegmentName;
  readonly #what: string;
  readonly #relations = new Map<number, RelationMessage>();
  #open: BeginMessage | undefined;
  #last: CommitMessage | undefined;
  #transactions = 0;
  #minMicros = Number.POSITIVE_INFINITY;
  #maxMicros = 0;

  /** @param what begins each sentence */
  constructor(name: SegmentName, what: string) {
    this.#name = name;
    this.#what = what;
  }

  get transactions(): number {
    return this.#transactions;
  }

  /** The next message. Throws `ARCHIVE_BAD_SEGMENT` and `ARCHIVE_MESSAGE` (permanent). */
  take(bytes: Uint8Array): void {
    const message = decodeMessage(bytes);
    switch (message.kind) {
      case 'begin':
        this.#begin(message);
        return;
      case 'commit':
        this.#commit(message);
        return;
      case 'relation':
        this.#relations.set(message.oid, message);
        return;
      case 'insert':
        this.#row(message.oid, message.row, 'insert');
        return;
      case 'update':
        if (message.old !== undefined) this.#row(message.oid, message.old.tuple, 'update');
        this.#row(message.oid, message.row, 'update');
        return;
      case 'delete':
        this.#row(message.oid, message.old.tuple, 'delete');
        return;
      case 'truncate':
        for (const oid of message.oids) this.#relationOf(oid);
        return;
      default:
        return;
    }
  }

  /** After the last message. Throws `ARCHIVE_BAD_SEGMENT` (permanent). */
  end({ transactions }: Pick<SegmentHeader, 'transactions'>): void {
    const { endLsn, minCommitMicros, maxCommitMicros } = this.#name;
    if (this.#open !== undefined) {
      throw this.#bad(`ends within transaction ${this.#open.xid}`);
    }
    if (this.#transactions !== transactions) {
      throw this.#bad(`holds ${this.#transactions} transactions, and its header says ${transactions}`);
    }
    if (this.#last === undefined) {
      if (minCommitMicros === maxCommitMicros) return;
      throw this.#bad('holds no transaction, and its name gives two times of commits');
    }
    const end = lsnOf(this.#last.endLsn);
    if (end !== endLsn) {
      throw this.#bad(`ends with a commit at ${postgresLsn(end)}, and its name says ${postgresLsn(endLsn)}`);
    }
    if (this.#minMicros !== minCommitMicros || this.#maxMicros !== maxCommitMicros) {
      throw this.#bad(
        `has commits from ${this.#minMicros} to ${this.#maxMicros} (microseconds since 1970), and its name says ${minCommitMicros} to ${maxCommitMicros}`,
      );
    }
  }

  #begin(begin: BeginMessage): void {
    const { xid, commitLsn } = begin;
    if (this.#open !== undefined) {
      throw this.#bad(`has transaction ${xid} begin within transaction ${this.#open.xid}`);
    }
    // The commit record of the first one begins at the end of the segment before, or after it.
    const before = this.#last?.endLsn ?? positionOf(this.#name.startLsn);
    if (commitLsn < before) {
      throw this.#bad(
        `has transaction ${xid} at ${postgresLsn(lsnOf(commitLsn))}, which lies before the end of the one before it, ${postgresLsn(lsnOf(before))}`,
      );
    }
    this.#open = begin;
  }

  #commit(commit: CommitMessage): void {
    const begin = this.#open;
    if (begin === undefined) {
      throw this.#bad(`has a commit at ${postgresLsn(lsnOf(commit.commitLsn))} of no transaction`);
    }
    if (commit.commitLsn !== begin.commitLsn || commit.commitMicros !== begin.commitMicros) {
      throw this.#bad(`has transaction ${begin.xid} end with the commit of another`);
    }
    if (commit.endLsn <= commit.commitLsn) {
      throw this.#bad(`has the commit of transaction ${begin.xid} end before it begins`);
    }
    this.#open = undefined;
    this.#last = commit;
    this.#transactions += 1;
    const micros = Number(commit.commitMicros);
    this.#minMicros = Math.min(this.#minMicros, micros);
    this.#maxMicros = Math.max(this.#maxMicros, micros);
  }

  #row(oid: number, tuple: Tuple, kind: 'insert' | 'update' | 'delete'): void {
    const relation = this.#relationOf(oid);
    if (tuple.length !== relation.columns.length) {
      throw this.#bad(
        `has a row of ${tableName(relation)} with ${tuple.length} values, and its table has ${relation.columns.length} columns`,
      );
    }
    if (kind === 'insert' && tuple.includes(undefined)) {
      throw this.#bad(`inserts a row into ${tableName(relation)} that lacks a value`);
    }
  }

  #relationOf(oid: number): RelationMessage {
    if (this.#open === undefined) throw this.#bad(`has a change of relation ${oid} in no transaction`);
    const relation = this.#relations.get(oid);
    if (relation !== undefined) return relation;
    throw this.#bad(`has a change of relation ${oid}, which no message before it describes`);
  }

  #bad(problem: string): Error {
    return permanent(
      'ARCHIVE_BAD_SEGMENT',
      `${this.#what} ${problem}`,
      'Restore an instant before it, or from a backup after it.',
    );
  }
}
