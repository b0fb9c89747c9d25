/**
 * Writes protocol-buffer containers as YugabyteDB does (`src/yb/util/pb_util.cc`): `yugacntr`, version 1, then records of length, message and CRC-32C of
 * both. The first record (`ContainerSupHeaderPB`) describes the type of the others.
 */
const MAGIC = 'yugacntr';
const VERSION = 1;

/** One field of a message; nested messages are bytes. */
export type Field = readonly [number: number, value: string | Uint8Array | number | bigint];

const FIXED64 = 1;
const BYTES = 2;

export function message(...fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.concat([varint(number * 8), varint(value)]);
      if (typeof value === 'bigint') {
        const body = Buffer.alloc(8);
        body.writeBigUInt64LE(value);
        return Buffer.concat([varint(number * 8 + FIXED64), body]);
      }
      const body = Buffer.from(value);
      return Buffer.concat([varint(number * 8 + BYTES), varint(body.length), body]);
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Encodes a container with messages of one type, e.g. `yb.InstanceMetadataPB`. */
export function container(type: string, ...messages: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(12);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(VERSION, 8);
  // ContainerSupHeaderPB: file descriptors (1), which nothing here reads, and the name of the type (2).
  const description = message([1, ''], [2, type]);
  return Buffer.concat([head, ...[description, ...messages].map(record)]);
}

function record(body: Uint8Array): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(body.byteLength);
  const checksum = Buffer.alloc(4);
  const sized = Buffer.concat([size, body]);
  checksum.writeUInt32LE(crc32c(sized));
  return Buffer.concat([sized, checksum]);
}

/** Computed bit by bit, so that it shares no code with the reader that it tests. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
