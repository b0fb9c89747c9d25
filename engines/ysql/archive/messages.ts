import { isAscii, isUtf8 } from 'node:buffer';
import { permanent } from '../../../model/errors.ts';
import type { Cell, Tuple } from './tuple.ts';
import { WireRow } from './wire-row.ts';

/*
 * The messages of PostgreSQL's output plugin `pgoutput`, protocol version 1, as the server sends them in CopyData (PostgreSQL's manual,
 * "Logical Replication Message Formats"). Values are text in UTF-8. YugabyteDB's `yboutput` has one replica identity more, and leaves columns that
 * an UPDATE did not change unset as PostgreSQL does with values stored out of line (its proto.c).
 */

export type { Cell, Tuple };

interface RelationColumn {
  readonly name: string;
  /** True where the column belongs to the replica identity. With identity `f` every column does. */
  readonly isKey: boolean;
  readonly typeOid: number;
  readonly typeModifier: number;
}

/** A table as the stream describes it before its first change, and again after its definition changed. */
export interface RelationMessage {
  readonly kind: 'relation';
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  /** `d` primary key, `i` an index, `f` the whole row, `n` none; `c` (YugabyteDB) primary key, and new values of what changed alone. */
  readonly identity: string;
  readonly columns: readonly RelationColumn[];
}

export interface BeginMessage {
  readonly kind: 'begin';
  /** Where the transaction's commit record stands: transactions come in this order. */
  readonly commitLsn: bigint;
  /** By the source's clock, microseconds since 1970. Not monotonic in the order of commits. */
  readonly commitMicros: bigint;
  /** 32 bits. */
  readonly xid: number;
}

export interface CommitMessage {
  readonly kind: 'commit';
  readonly commitLsn: bigint;
  /** Where the commit record ends. */
  readonly endLsn: bigint;
  readonly commitMicros: bigint;
}

/** The row before an update or delete. */
interface OldTuple {
  /** `key`: the columns of the identity alone are meant, all others are null. `row`: the whole row. */
  readonly of: 'key' | 'row';
  readonly tuple: Tuple;
}

export interface InsertMessage {
  readonly kind: 'insert';
  readonly oid: number;
  readonly row: Tuple;
  /** The same row as it came; `row` is then made of it each time it is asked for. */
  readonly wire?: WireRow;
}

export interface UpdateMessage {
  readonly kind: 'update';
  readonly oid: number;
  /** Absent where the identity is a key that did not change. */
  readonly old?: OldTuple;
  readonly row: Tuple;
}

export interface DeleteMessage {
  readonly kind: 'delete';
  readonly oid: number;
  readonly old: OldTuple;
}

interface TruncateMessage {
  readonly kind: 'truncate';
  readonly oids: readonly number[];
  readonly cascade: boolean;
  readonly restartIdentity: boolean;
}

export type ChangeMessage = InsertMessage | UpdateMessage | DeleteMessage | TruncateMessage;

export type PgOutputMessage =
  | BeginMessage
  | CommitMessage
  | RelationMessage
  | ChangeMessage
  /** They change no row: where a transaction came from, a type's name, a message of `pg_logical_emit_message`. */
  | { readonly kind: 'origin' | 'type' | 'message' };

/**
 * What a message does to a segment, without its rows and names. `change`: rows of these relations. `other`: nothing, or a message that
 * protocol 1 doesn't have.
 */
export type MessageHead =
  | BeginMessage
  | CommitMessage
  | { readonly kind: 'relation' | 'type'; readonly oid: number }
  | { readonly kind: 'change'; readonly oids: readonly number[] }
  | { readonly kind: 'other' };

/** PostgreSQL counts from 2000-01-01. */
const EPOCH_MICROS = 946_684_800_000_000n;

/**
 * Reads one message. Throws `ARCHIVE_MESSAGE` (permanent) for anything that is no whole message of protocol 1 in text format.
 * Takes time and memory in proportion to the message's length, whatever the bytes are.
 */
export function decodeMessage(bytes: Uint8Array): PgOutputMessage {
  const reader = new MessageReader(bytes, IN_A_SEGMENT);
  const message = readMessage(reader);
  reader.requireEnd();
  return message;
}

/** As `decodeMessage`, but leaves a new row's values as they came (`wire`), which keeps the message's bytes in memory. */
export function decodeChanges(bytes: Uint8Array): PgOutputMessage {
  const reader = new MessageReader(bytes, IN_A_SEGMENT);
  if (bytes[0] !== INSERT) return decodeMessage(bytes);
  reader.letter('its type');
  const oid = reader.int32();
  reader.expect('N', 'a new row');
  const wire = reader.wireRow();
  reader.requireEnd();
  return {
    kind: 'insert',
    oid,
    wire,
    get row() {
      return wire.tuple();
    },
  };
}

const INSERT = 'I'.charCodeAt(0);
const [NULL_VALUE, UNSET_VALUE, TEXT_VALUE] = [...Buffer.from('nut')];

/**
 * Reads the first bytes of a message as the source sends it: the capture stores messages as they came, and looks into no row. Takes the
 * same time for a long message as for a short one, but for the list of a TRUNCATE. Throws `ARCHIVE_MESSAGE` (permanent) where they end
 * too early.
 */
export function decodeHead(bytes: Uint8Array): MessageHead {
  const reader = new MessageReader(bytes, IN_THE_STREAM);
  switch (reader.letter('its type')) {
    case 'B':
      return readBegin(reader);
    case 'C':
      return readCommit(reader);
    case 'R':
      return { kind: 'relation', oid: reader.int32() };
    case 'Y':
      return { kind: 'type', oid: reader.int32() };
    case 'I':
    case 'U':
    case 'D':
      return { kind: 'change', oids: [reader.int32()] };
    case 'T':
      return { kind: 'change', oids: readTruncate(reader).oids };
    default:
      return { kind: 'other' };
  }
}

function readMessage(reader: MessageReader): PgOutputMessage {
  const type = reader.letter('its type');
  switch (type) {
    case 'B':
      return readBegin(reader);
    case 'C':
      return readCommit(reader);
    case 'R':
      return readRelation(reader);
    case 'I': {
      const oid = reader.int32();
      reader.expect('N', 'a new row');
      return { kind: 'insert', oid, row: reader.tuple() };
    }
    case 'U':
      return readUpdate(reader);
    case 'D': {
      const oid = reader.int32();
      return { kind: 'delete', oid, old: readOld(reader, reader.letter('an old row')) };
    }
    case 'T':
      return readTruncate(reader);
    case 'O':
      reader.passOver(8);
      reader.text();
      return { kind: 'origin' };
    case 'Y':
      reader.passOver(4);
      reader.text();
      reader.text();
      return { kind: 'type' };
    case 'M':
      reader.passOver(1 + 8);
      reader.text();
      reader.passOver(reader.int32());
      return { kind: 'message' };
    default:
      throw reader.damaged(`its type is ${describeLetter(type)}, which protocol 1 doesn't have`);
  }
}

function readBegin(reader: MessageReader): BeginMessage {
  return {
    kind: 'begin',
    commitLsn: reader.int64(),
    commitMicros: reader.micros(),
    xid: reader.int32(),
  };
}

function readCommit(reader: MessageReader): CommitMessage {
  reader.passOver(1);
  return {
    kind: 'commit',
    commitLsn: reader.int64(),
    endLsn: reader.int64(),
    commitMicros: reader.micros(),
  };
}

function readRelation(reader: MessageReader): RelationMessage {
  const oid = reader.int32();
  const schema = reader.text();
  const table = reader.text();
  const identity = reader.letter('a replica identity');
  if (!'dinfc'.includes(identity)) {
    throw reader.damaged(`the replica identity of table "${table}" is ${describeLetter(identity)}`);
  }
  const columns: RelationColumn[] = [];
  const count = reader.int16();
  for (let column = 0; column < count; column += 1) {
    const flags = reader.byte('the flags of a column');
    columns.push({
      isKey: (flags & 1) === 1,
      name: reader.text(),
      typeOid: reader.int32(),
      typeModifier: reader.signedInt32(),
    });
  }
  // The stream leaves out the name of the schema that needs none.
  return { kind: 'relation', oid, schema: schema === '' ? 'pg_catalog' : schema, table, identity, columns };
}

function readUpdate(reader: MessageReader): UpdateMessage {
  const oid = reader.int32();
  const letter = reader.letter('a row');
  if (letter === 'N') return { kind: 'update', oid, row: reader.tuple() };
  const old = readOld(reader, letter);
  reader.expect('N', 'a new row');
  return { kind: 'update', oid, old, row: reader.tuple() };
}

function readOld(reader: MessageReader, letter: string): OldTuple {
  if (letter === 'K') return { of: 'key', tuple: reader.tuple() };
  if (letter === 'O') return { of: 'row', tuple: reader.tuple() };
  throw reader.damaged(`where an old row is due there is ${describeLetter(letter)}`);
}

function readTruncate(reader: MessageReader): TruncateMessage {
  const count = reader.int32();
  const options = reader.byte('the options of a TRUNCATE');
  reader.require(count * 4, 'the tables of a TRUNCATE');
  const oids = Array.from({ length: count }, () => reader.int32());
  return { kind: 'truncate', oids, cascade: (options & 1) === 1, restartIdentity: (options & 2) === 2 };
}

function describeLetter(letter: string): string {
  return /^[!-~]$/.test(letter) ? `"${letter}"` : `byte ${letter.charCodeAt(0)}`;
}

/** Where a message was found, and what to do where it can't be read. */
interface Origin {
  readonly where: string;
  readonly remedy: string;
}

const IN_A_SEGMENT: Origin = {
  where: 'in the archive of changes',
  remedy:
    'The segment is damaged, or a newer version wrote it: restore an instant before it, or use the version that wrote it.',
};

const IN_THE_STREAM: Origin = {
  where: 'that the source sent',
  remedy: 'Report this: the stream of changes is not as PostgreSQL documents it.',
};

/** Reads forward only and never beyond the end, so that no bytes can make it loop. */
class MessageReader {
  readonly #bytes: Buffer;
  readonly #origin: Origin;
  /** All of the bytes as text where they are ASCII, as most rows are: to cut it is quicker than to decode each value. */
  #ascii: string | undefined;
  #at = 0;

  constructor(bytes: Uint8Array, origin: Origin) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#origin = origin;
  }

  byte(what: string): number {
    this.require(1, what);
    const value = this.#bytes.readUInt8(this.#at);
    this.#at += 1;
    return value;
  }

  letter(what: string): string {
    return String.fromCharCode(this.byte(what));
  }

  expect(letter: string, what: string): void {
    const found = this.letter(what);
    if (found !== letter) throw this.damaged(`where ${what} is due there is ${describeLetter(found)}`);
  }

  int16(): number {
    this.require(2, 'a number of 2 bytes');
    const value = this.#bytes.readUInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  int32(): number {
    this.require(4, 'a number of 4 bytes');
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  signedInt32(): number {
    return this.int32() | 0;
  }

  int64(): bigint {
    this.require(8, 'a number of 8 bytes');
    const value = this.#bytes.readBigUInt64BE(this.#at);
    this.#at += 8;
    return value;
  }

  /** Microseconds since 1970. */
  micros(): bigint {
    return BigInt.asIntN(64, this.int64()) + EPOCH_MICROS;
  }

  passOver(bytes: number): void {
    this.require(bytes, `${bytes} bytes`);
    this.#at += bytes;
  }

  /** Text that a zero byte ends. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw this.damaged('a name in it has no end');
    const text = this.#utf8(this.#at, end);
    this.#at = end + 1;
    return text;
  }

  tuple(): Tuple {
    const count = this.int16();
    this.require(count, 'the values of a row');
    if (this.#ascii === undefined && isAscii(this.#bytes)) this.#ascii = this.#bytes.toString('latin1');
    const cells: Cell[] = [];
    for (let column = 0; column < count; column += 1) cells.push(this.#cell());
    return cells;
  }

  /** Passes over a row, as careful as `tuple`. */
  wireRow(): WireRow {
    const length = this.int16();
    this.require(length, 'the values of a row');
    const isText = isAscii(this.#bytes);
    const from = this.#at;
    let isWhole = true;
    for (let column = 0; column < length; column += 1) {
      const kind = this.byte('a value');
      if (kind === NULL_VALUE) continue;
      if (kind === UNSET_VALUE) {
        isWhole = false;
        continue;
      }
      if (kind !== TEXT_VALUE) this.#requireText(String.fromCharCode(kind));
      const size = this.int32();
      this.require(size, 'a value');
      if (!isText && !isUtf8(this.#bytes.subarray(this.#at, this.#at + size))) {
        throw this.damaged('text in it is not UTF-8');
      }
      this.#at += size;
    }
    return new WireRow(this.#bytes.subarray(from, this.#at), { length, isWhole });
  }

  #requireText(kind: string): void {
    if (kind === 't') return;
    const also = kind === 'b' ? ' (a value in binary format)' : '';
    throw this.damaged(`a value is of kind ${describeLetter(kind)}${also}`);
  }

  #cell(): Cell {
    const kind = this.letter('a value');
    if (kind === 'n') return null;
    if (kind === 'u') return undefined;
    this.#requireText(kind);
    const length = this.int32();
    this.require(length, 'a value');
    const text = this.#utf8(this.#at, this.#at + length);
    this.#at += length;
    return text;
  }

  #utf8(from: number, to: number): string {
    if (this.#ascii !== undefined) return this.#ascii.slice(from, to);
    const bytes = this.#bytes.subarray(from, to);
    if (!isUtf8(bytes)) throw this.damaged('text in it is not UTF-8');
    return bytes.toString('utf8');
  }

  require(bytes: number, what: string): void {
    if (bytes > this.#bytes.length - this.#at) throw this.damaged(`it ends before ${what}`);
  }

  requireEnd(): void {
    const more = this.#bytes.length - this.#at;
    if (more > 0) throw this.damaged(`${more} bytes follow its end`);
  }

  damaged(problem: string): Error {
    return permanent(
      'ARCHIVE_MESSAGE',
      `A message of ${this.#bytes.length} bytes ${this.#origin.where} can't be read: at byte ${this.#at} ${problem}`,
      this.#origin.remedy,
    );
  }
}
