import { type HoldfastError, permanent } from '../../../model/errors.ts';
import { crashPoint } from '../../../repository/crash-points.ts';
import { sqlState } from '../server/errors.ts';
import { quoteTable, tableName } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import { type TableBatch, tableBatch } from './apply-table.ts';
import { type Cut, type Decision, formatLsn, type TransactionMark } from './cut.ts';
import type { RowChange } from './fold.ts';
import {
  type BeginMessage,
  type ChangeMessage,
  type CommitMessage,
  decodeChanges,
  type RelationMessage,
} from './messages.ts';
import { addRowCounts, type ReplayPosition, type RowCount, writePosition } from './position.ts';
import { readTargetTable, type TargetTable } from './target-table.ts';

/** So much is folded before it is written; measured in `shared/facts/change-archive.md` section 2.2. */
const MOST_CHANGES = 8_000;
const MOST_BYTES = 8 * 1024 * 1024;

interface ReplayOptions {
  readonly cut: Cut;
  /** Where an earlier attempt of the same replay came to. */
  readonly from?: ReplayPosition | undefined;
  /** False for tables that the restore leaves out. */
  readonly includes: (table: { readonly schema: string; readonly table: string }) => boolean;
  /** Told after each commit. */
  readonly progress?: (position: ReplayPosition) => void;
}

/**
 * Applies the archived transactions that belong to the instant to the session's database, whose bookkeeping keeps the position in the same
 * transaction as the changes: an attempt that comes after a crash goes on there, and applies nothing twice. Triggers and foreign keys
 * are off. A transaction of the source is never committed in part.
 *
 * `messages` are the messages of a timeline in order, from before the base's read point on. Reading stops after the cut.
 *
 * @returns the position after the last transaction; undefined where none had to be applied
 * @throws HoldfastError `ARCHIVE_MESSAGE`, `ARCHIVE_INCONSISTENT`, `ARCHIVE_ORDER`, `ARCHIVE_BASE_TOO_NEW`, `REPLAY_SCHEMA_CHANGED`,
 *   `REPLAY_DIFFERS`, `REPLAY_PARTITION_ROOT`, `REPLAY_PRIVILEGE` (permanent), and what a session throws
 */
export async function replay(
  session: Session,
  messages: AsyncIterable<Uint8Array>,
  options: ReplayOptions,
): Promise<ReplayPosition | undefined> {
  const replayer = new Replayer(session, options);
  try {
    for await (const message of messages) {
      await replayer.take(message);
      if (options.cut.isOver) break;
    }
    return await replayer.end();
  } catch (error) {
    await replayer.abandon();
    throw error;
  }
}

interface OpenTransaction {
  readonly begin: BeginMessage;
  readonly decision: Decision;
}

class Replayer {
  readonly #session: Session;
  readonly #options: ReplayOptions;
  readonly #relations = new Map<number, RelationMessage>();
  /** `null`: the restore leaves the table out. */
  readonly #targets = new Map<number, TargetTable | null>();
  readonly #batches = new Map<number, TableBatch>();
  readonly #counts = new Map<string, RowCount>();
  readonly #withoutTriggers = new Map<string, TargetTable>();
  #open: OpenTransaction | undefined;
  /** This and the next: what is folded and not written. */
  #changes = 0;
  #bytes = 0;
  #allChanges: number;
  #transactions: number;
  #isWriting = false;
  #position: ReplayPosition | undefined;
  /** What `#position` says beyond what is committed. */
  #isAhead = false;

  constructor(session: Session, options: ReplayOptions) {
    this.#session = session;
    this.#options = options;
    this.#position = options.from;
    this.#allChanges = options.from?.changes ?? 0;
    this.#transactions = options.from?.transactions ?? 0;
  }

  async take(bytes: Uint8Array): Promise<void> {
    const message = decodeChanges(bytes);
    switch (message.kind) {
      case 'begin':
        return this.#begin(message);
      case 'commit':
        return await this.#commit(message);
      case 'relation':
        return await this.#describe(message);
      case 'origin':
      case 'type':
      case 'message':
        return;
      default:
        await this.#change(message);
        return await this.#keepsMemoryOf(bytes.length);
    }
  }

  /** Writes and commits what is left. */
  async end(): Promise<ReplayPosition | undefined> {
    // Reading stops within the first transaction that can't matter.
    if (this.#open !== undefined && this.#open.decision !== 'after') {
      throw inconsistent(`transaction ${this.#open.begin.xid} has a beginning and no end`);
    }
    await this.#write();
    await this.#commitWritten();
    return this.#position;
  }

  async abandon(): Promise<void> {
    if (this.#isWriting && !this.#session.broken) await this.#session.query('roll back', 'ROLLBACK');
  }

  #begin(begin: BeginMessage): void {
    if (this.#open !== undefined) {
      throw inconsistent(`transaction ${begin.xid} begins within transaction ${this.#open.begin.xid}`);
    }
    this.#open = { begin, decision: this.#options.cut.decide(begin) };
  }

  async #commit({ commitLsn, endLsn }: CommitMessage): Promise<void> {
    const { begin, decision } = this.#requireOpen(`a commit at ${formatLsn(commitLsn)}`);
    if (begin.commitLsn !== commitLsn) {
      throw inconsistent(
        `transaction ${begin.xid} ends with another one's commit at ${formatLsn(commitLsn)}`,
      );
    }
    this.#open = undefined;
    if (decision !== 'take') return;
    this.#transactions += 1;
    this.#position = {
      ...markOf(begin),
      endLsn,
      transactions: this.#transactions,
      changes: this.#allChanges,
    };
    this.#isAhead = true;
    if (this.#isWriting || this.#isFull()) {
      await this.#write();
      await this.#commitWritten();
    }
  }

  /** A definition that differs from the one before is compared with the target again at its next change. */
  async #describe(relation: RelationMessage): Promise<void> {
    const known = this.#relations.get(relation.oid);
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(relation)) return;
    if (known !== undefined) await this.#write();
    this.#relations.set(relation.oid, relation);
    this.#targets.delete(relation.oid);
  }

  async #change(change: ChangeMessage): Promise<void> {
    if (this.#requireOpen('a change').decision !== 'take') return;
    if (change.kind === 'truncate') return await this.#truncate(change.oids);
    const target = await this.#targetOf(change.oid);
    if (target === null) return;
    let batch = this.#batches.get(change.oid);
    if (batch === undefined) {
      batch = tableBatch(target);
      this.#batches.set(change.oid, batch);
    }
    requireWidth(this.#relationOf(change.oid), widthOf(change));
    batch.add(change);
    const rows = change.kind === 'insert' ? 1 : change.kind === 'delete' ? -1 : 0;
    this.#count(target, ({ isTruncated, rows: before }) => ({ isTruncated, rows: before + rows }));
    this.#changes += 1;
    this.#allChanges += 1;
  }

  /** A row that is folded keeps the piece of the segment that it came in, so what came beside it counts too, of whatever table. */
  async #keepsMemoryOf(bytes: number): Promise<void> {
    if (this.#batches.size === 0) return;
    this.#bytes += bytes;
    if (this.#isFull()) await this.#write();
  }

  async #truncate(oids: readonly number[]): Promise<void> {
    const targets: TargetTable[] = [];
    for (const oid of oids) {
      const target = await this.#targetOf(oid);
      if (target !== null) targets.push(target);
    }
    await this.#write();
    this.#allChanges += 1;
    if (targets.length === 0) return;
    await this.#beginWriting();
    for (const target of targets) await this.#switchOffTriggers(target);
    await emptyTables(this.#session, targets);
    for (const target of targets) this.#count(target, () => ({ isTruncated: true, rows: 0 }));
  }

  #count(target: TargetTable, next: (before: RowCount) => RowCount): void {
    const name = quoteTable(target);
    this.#counts.set(name, next(this.#counts.get(name) ?? { isTruncated: false, rows: 0 }));
  }

  #isFull(): boolean {
    return this.#changes >= MOST_CHANGES || this.#bytes >= MOST_BYTES;
  }

  /** Writes the batch and leaves the target's transaction open. */
  async #write(): Promise<void> {
    if (this.#batches.size === 0) return;
    await this.#beginWriting();
    for (const [oid, batch] of this.#batches) {
      const target = await this.#targetOf(oid);
      if (target === null) continue;
      await this.#switchOffTriggers(target);
      await batch.write(this.#session);
    }
    this.#batches.clear();
    this.#changes = 0;
    this.#bytes = 0;
  }

  async #beginWriting(): Promise<void> {
    if (this.#isWriting) return;
    await this.#session.query('begin a transaction', 'BEGIN');
    this.#isWriting = true;
    await withoutTriggersAndForeignKeys(this.#session);
  }

  async #switchOffTriggers(target: TargetTable): Promise<void> {
    const name = quoteTable(target);
    if (target.triggers.length === 0 || this.#withoutTriggers.has(name)) return;
    this.#withoutTriggers.set(name, target);
    for (const trigger of target.triggers) {
      await this.#session.query(
        `switch off trigger ${trigger.name} of ${name}`,
        `ALTER TABLE ${name} DISABLE TRIGGER ${trigger.name}`,
      );
    }
  }

  async #commitWritten(): Promise<void> {
    const position = this.#position;
    if (position === undefined || !this.#isAhead) return;
    await this.#beginWriting();
    for (const [name, { triggers }] of this.#withoutTriggers) {
      for (const trigger of triggers) {
        await this.#session.query(
          `switch trigger ${trigger.name} of ${name} on again`,
          `ALTER TABLE ${name} ${trigger.clause} TRIGGER ${trigger.name}`,
        );
      }
    }
    await addRowCounts(this.#session, this.#counts);
    await writePosition(this.#session, position);
    crashPoint('replay-before-commit');
    await this.#session.query('commit', 'COMMIT');
    crashPoint('replay-committed');
    this.#isWriting = false;
    this.#isAhead = false;
    this.#counts.clear();
    this.#withoutTriggers.clear();
    this.#options.progress?.(position);
  }

  async #targetOf(oid: number): Promise<TargetTable | null> {
    const known = this.#targets.get(oid);
    if (known !== undefined) return known;
    const relation = this.#relationOf(oid);
    const target = this.#options.includes(relation) ? await readTargetTable(this.#session, relation) : null;
    this.#targets.set(oid, target);
    return target;
  }

  #relationOf(oid: number): RelationMessage {
    const relation = this.#relations.get(oid);
    if (relation !== undefined) return relation;
    throw inconsistent(`a change is of relation ${oid}, which no message before it describes`);
  }

  #requireOpen(what: string): OpenTransaction {
    if (this.#open === undefined) throw inconsistent(`${what} belongs to no transaction`);
    return this.#open;
  }
}

function markOf({ xid, commitLsn, commitMicros }: BeginMessage): TransactionMark {
  return { xid, commitLsn, commitMicros };
}

function widthOf(change: RowChange): { readonly length: number } {
  if (change.kind === 'insert') return change.wire ?? change.row;
  return change.kind === 'delete' ? change.old.tuple : change.row;
}

function requireWidth(relation: RelationMessage, tuple: { readonly length: number }): void {
  if (tuple.length === relation.columns.length) return;
  throw inconsistent(
    `a row of ${tableName(relation)} has ${tuple.length} values, its table ${relation.columns.length} columns`,
  );
}

function inconsistent(problem: string): HoldfastError {
  return permanent(
    'ARCHIVE_INCONSISTENT',
    `The archived messages don't follow each other: ${problem}`,
    'The archive lacks a message or has one twice: restore an instant before it, and run verify on the archive.',
  );
}

/** Throws `REPLAY_PRIVILEGE` (permanent) where the role may not. */
async function withoutTriggersAndForeignKeys(session: Session): Promise<void> {
  try {
    await session.query(
      'switch triggers and foreign keys off for the replay',
      'SET LOCAL session_replication_role = replica',
    );
  } catch (error) {
    if (!(error instanceof Error) || sqlState(error.cause) !== '42501') throw error;
    throw permanent(
      'REPLAY_PRIVILEGE',
      `The role that restores may not set session_replication_role in database "${session.database}", which replay needs so that triggers don't act a second time`,
      'Connect as a superuser, or: GRANT SET ON PARAMETER session_replication_role TO the role.',
      error,
    );
  }
}

/** TRUNCATE where the server allows it. It doesn't where a table that is not emptied too refers to one of them, whether it has rows or not. */
async function emptyTables(session: Session, targets: readonly TargetTable[]): Promise<void> {
  const names = targets.map((target) => quoteTable(target));
  const [referred] = await session.query<{ referred: boolean }>(
    'look who refers to tables that are emptied',
    `SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE contype = 'f'
       AND confrelid = ANY ($1::regclass[]) AND conrelid <> ALL ($1::regclass[])) AS referred`,
    [names],
  );
  const statements =
    referred?.referred === true
      ? names.map((name) => `DELETE FROM ONLY ${name}`)
      : [`TRUNCATE ${names.map((name) => `ONLY ${name}`).join(', ')}`];
  for (const statement of statements) await session.query('empty tables as the source did', statement);
}
