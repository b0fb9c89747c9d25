/** One field of a protocol-buffer message as it stands on the wire: a number, or bytes (text, or another message). */
type ProtobufField =
  | { readonly number: number; readonly value: bigint }
  | { readonly number: number; readonly bytes: Buffer };

const VARINT = 0n;
const FIXED64 = 1n;
const BYTES = 2n;
const FIXED32 = 5n;

const MAGIC = 'yugacntr';
const VERSION = 1;
const HEADER_BYTES = MAGIC.length + 4;

/**
 * The messages of one of YugabyteDB's containers (`src/yb/util/pb_util.cc`), without the first one, which describes the type of the others. A
 * container is magic, version, then records of length, message and CRC-32C over both.
 *
 * @throws RangeError saying in words why it is none, or how it is damaged
 */
export function messagesIn(container: Buffer): readonly Buffer[] {
  if (container.length < HEADER_BYTES || container.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new RangeError(`it does not begin with "${MAGIC}"`);
  }
  const version = container.readUInt32LE(MAGIC.length);
  if (version !== VERSION) throw new RangeError(`its version is ${version}, not ${VERSION}`);
  const messages: Buffer[] = [];
  for (let at = HEADER_BYTES; at < container.length; ) {
    const end = at + 4 + (at + 4 <= container.length ? container.readUInt32LE(at) : 0);
    if (end + 4 > container.length) throw new RangeError('it is cut off');
    if (crc32c(container.subarray(at, end)) !== container.readUInt32LE(end)) {
      throw new RangeError('a checksum in it is wrong');
    }
    messages.push(container.subarray(at + 4, end));
    at = end + 4;
  }
  return messages.slice(1);
}

/** The fields of a message in their order. Throws RangeError, in words, if it is no message. */
export function fieldsOf(message: Buffer): readonly ProtobufField[] {
  const fields: ProtobufField[] = [];
  const reader = { at: 0 };
  while (reader.at < message.length) {
    const key = varint(message, reader);
    const number = Number(key >> 3n);
    const type = key & 7n;
    if (type === VARINT) fields.push({ number, value: varint(message, reader) });
    else if (type === FIXED64) fields.push({ number, value: take(message, reader, 8).readBigUInt64LE() });
    else if (type === FIXED32)
      fields.push({ number, value: BigInt(take(message, reader, 4).readUInt32LE()) });
    else if (type === BYTES) {
      fields.push({ number, bytes: take(message, reader, Number(varint(message, reader))) });
    } else throw new RangeError(`a field has the unknown type ${type}`);
  }
  return fields;
}

/** The bytes of every field of that number. */
export function bytesOf(fields: readonly ProtobufField[], number: number): readonly Buffer[] {
  return fields.flatMap((field) => (field.number === number && 'bytes' in field ? [field.bytes] : []));
}

/** The last value of a numeric field: protocol buffers let the last one count. */
export function numberOf(fields: readonly ProtobufField[], number: number): bigint | undefined {
  return fields.flatMap((field) => (field.number === number && 'value' in field ? [field.value] : [])).at(-1);
}

function varint(message: Buffer, reader: { at: number }): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = message[reader.at];
    if (byte === undefined) throw new RangeError('a number is cut off');
    reader.at += 1;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw new RangeError('a number is too long');
}

function take(message: Buffer, reader: { at: number }, length: number): Buffer {
  const end = reader.at + length;
  if (end > message.length) throw new RangeError('a field is cut off');
  const bytes = message.subarray(reader.at, end);
  reader.at = end;
  return bytes;
}

/** Castagnoli's polynomial, reflected. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  return crc;
});

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}
