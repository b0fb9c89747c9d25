import { text } from '../frames.ts';
import { ByteReader, int8, int16, int32, int64 } from './bytes.ts';

/** A value of a row: its text, NULL, or one that isn't sent (`u`). */
export type Cell = Buffer | null | 'unset';
export type Row = readonly Cell[];

export interface Column {
  readonly name: string;
  readonly type: number;
  readonly modifier: number;
}

/** A table as it was when a row of it was written. */
export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly Column[];
}

export interface Change {
  readonly kind: 'insert' | 'update' | 'delete';
  readonly relation: Relation;
  /** Messages that describe the types of the relation's columns. */
  readonly types: readonly Buffer[];
  readonly before: Row | undefined;
  readonly after: Row | undefined;
}

/** A message of PostgreSQL's pgoutput, protocol 1, of tables with REPLICA IDENTITY FULL. */
export type UpstreamMessage =
  | { readonly kind: 'begin'; readonly micros: bigint; readonly xid: number }
  | { readonly kind: 'commit' }
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'type'; readonly oid: number; readonly bytes: Buffer }
  | {
      readonly kind: 'insert' | 'update' | 'delete';
      readonly oid: number;
      readonly before: Row | undefined;
      readonly after: Row | undefined;
    }
  | { readonly kind: 'other' };

/** Microseconds from 1970 to 2000, where PostgreSQL's timestamps begin. */
const EPOCH_MICROS = 946_684_800_000_000n;

export function postgresMicros(micros: bigint): bigint {
  return micros - EPOCH_MICROS;
}

/** Source: PostgreSQL's manual, "Logical Replication Message Formats". TRUNCATE is `other`: YugabyteDB sends none (issue 29674). */
export function readUpstream(bytes: Buffer): UpstreamMessage {
  const reader = new ByteReader(bytes);
  const type = reader.letter();
  if (type === 'B') {
    reader.int64();
    return { kind: 'begin', micros: BigInt.asIntN(64, reader.int64()) + EPOCH_MICROS, xid: reader.int32() };
  }
  if (type === 'C') return { kind: 'commit' };
  if (type === 'R') return { kind: 'relation', relation: readRelation(reader) };
  if (type === 'Y') return { kind: 'type', oid: reader.int32(), bytes: Buffer.from(bytes) };
  if (type === 'I') {
    const oid = reader.int32();
    reader.letter();
    return { kind: 'insert', oid, before: undefined, after: readRow(reader) };
  }
  if (type === 'D') {
    const oid = reader.int32();
    reader.letter();
    return { kind: 'delete', oid, before: readRow(reader), after: undefined };
  }
  if (type === 'U') {
    const oid = reader.int32();
    const hasBefore = reader.letter() !== 'N';
    const before = hasBefore ? readRow(reader) : undefined;
    if (hasBefore) reader.letter();
    return { kind: 'update', oid, before, after: readRow(reader) };
  }
  return { kind: 'other' };
}

function readRelation(reader: ByteReader): Relation {
  const [oid, schema, name] = [reader.int32(), reader.string(), reader.string()];
  reader.letter();
  const columns = Array.from({ length: reader.int16() }, (): Column => {
    reader.int8();
    return { name: reader.string(), type: reader.int32(), modifier: reader.int32() };
  });
  return { oid, schema, name, columns };
}

function readRow(reader: ByteReader): Row {
  return Array.from({ length: reader.int16() }, (): Cell => {
    const kind = reader.letter();
    if (kind === 'n') return null;
    return kind === 'u' ? 'unset' : reader.bytes(reader.int32());
  });
}

export function beginMessage(lsn: bigint, micros: bigint, xid: number): Buffer {
  return Buffer.concat([Buffer.from('B'), int64(lsn), int64(postgresMicros(micros)), int32(xid)]);
}

/** The end of a transaction is its commit's LSN plus one (yugabyte-db yb_decode.c YBDecodeCommit). */
export function commitMessage(lsn: bigint, micros: bigint): Buffer {
  return Buffer.concat([
    Buffer.from('C'),
    int8(0),
    int64(lsn),
    int64(lsn + 1n),
    int64(postgresMicros(micros)),
  ]);
}

/** `keys`: the names of the columns that are marked as the replica identity. */
export function relationMessage(relation: Relation, identity: string, keys: ReadonlySet<string>): Buffer {
  return Buffer.concat([
    Buffer.from('R'),
    int32(relation.oid),
    text(relation.schema),
    text(relation.name),
    Buffer.from(identity),
    int16(relation.columns.length),
    ...relation.columns.flatMap(({ name, type, modifier }) => [
      int8(keys.has(name) ? 1 : 0),
      text(name),
      int32(type),
      int32(modifier),
    ]),
  ]);
}

export function insertMessage(oid: number, row: Row): Buffer {
  return Buffer.concat([Buffer.from('I'), int32(oid), Buffer.from('N'), rowBytes(row)]);
}

export function updateMessage(
  oid: number,
  before: { readonly letter: 'K' | 'O'; readonly row: Row } | undefined,
  after: Row,
): Buffer {
  const old = before === undefined ? [] : [Buffer.from(before.letter), rowBytes(before.row)];
  return Buffer.concat([Buffer.from('U'), int32(oid), ...old, Buffer.from('N'), rowBytes(after)]);
}

export function deleteMessage(oid: number, letter: 'K' | 'O', row: Row): Buffer {
  return Buffer.concat([Buffer.from('D'), int32(oid), Buffer.from(letter), rowBytes(row)]);
}

function rowBytes(row: Row): Buffer {
  const cells = row.map((cell) => {
    if (cell === null) return Buffer.from('n');
    // An omitted column is written like an unchanged TOAST value (yugabyte-db proto.c logicalrep_write_tuple).
    if (cell === 'unset') return Buffer.from('u');
    return Buffer.concat([Buffer.from('t'), int32(cell.length), cell]);
  });
  return Buffer.concat([int16(row.length), ...cells]);
}
