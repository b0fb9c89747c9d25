/** Writes messages of pgoutput, protocol 1, as PostgreSQL's manual describes them ("Logical Replication Message Formats"). */

export type TestCell = string | null | undefined;

const EPOCH_MICROS = 946_684_800_000_000n;

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}

export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

export function tuple(cells: readonly TestCell[]): Buffer {
  const written = cells.map((cell) => {
    if (cell === null) return Buffer.from('n');
    if (cell === undefined) return Buffer.from('u');
    return Buffer.concat([Buffer.from('t'), int32(Buffer.byteLength(cell)), Buffer.from(cell)]);
  });
  return Buffer.concat([int16(cells.length), ...written]);
}

export const begin = (commitLsn: bigint, micros: bigint, xid: number) =>
  Buffer.concat([Buffer.from('B'), int64(commitLsn), int64(micros - EPOCH_MICROS), int32(xid)]);

export const commit = (commitLsn: bigint, endLsn: bigint, micros: bigint) =>
  Buffer.concat([Buffer.from('C\0'), int64(commitLsn), int64(endLsn), int64(micros - EPOCH_MICROS)]);

export const relation = (
  oid: number,
  schema: string,
  table: string,
  columns: readonly { readonly name: string; readonly isKey?: boolean; readonly type?: number }[],
  identity = 'd',
) =>
  Buffer.concat([
    Buffer.from('R'),
    int32(oid),
    text(schema),
    text(table),
    Buffer.from(identity),
    int16(columns.length),
    ...columns.map(({ name, isKey = false, type = 25 }) =>
      Buffer.concat([Buffer.from([isKey ? 1 : 0]), text(name), int32(type), int32(-1)]),
    ),
  ]);

export const insert = (oid: number, row: readonly TestCell[]) =>
  Buffer.concat([Buffer.from('I'), int32(oid), Buffer.from('N'), tuple(row)]);

export const update = (
  oid: number,
  row: readonly TestCell[],
  old?: { readonly of: 'K' | 'O'; readonly row: readonly TestCell[] },
) =>
  Buffer.concat([
    Buffer.from('U'),
    int32(oid),
    ...(old === undefined ? [] : [Buffer.from(old.of), tuple(old.row)]),
    Buffer.from('N'),
    tuple(row),
  ]);

export const remove = (oid: number, row: readonly TestCell[], of: 'K' | 'O' = 'K') =>
  Buffer.concat([Buffer.from('D'), int32(oid), Buffer.from(of), tuple(row)]);

export const truncate = (oids: readonly number[], options = 0) =>
  Buffer.concat([Buffer.from('T'), int32(oids.length), Buffer.from([options]), ...oids.map(int32)]);
