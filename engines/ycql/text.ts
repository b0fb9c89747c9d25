import { DAY_MS } from '../../model/time.ts';
import type { CqlType } from './cql-type.ts';
import { parseType } from './cql-type.ts';
import { elementsOf, entriesOf, fieldsOf, type RawCell } from './rows.ts';
import type { UserType } from './schema.ts';

/** A CQL value as JSON, exact for every type: numbers that JSON can't hold exactly are text. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A cell as JSON. A zero-length value of a type that isn't text becomes empty text, not null. Pure. */
export function jsonOf(type: CqlType, cell: RawCell, types: readonly UserType[]): JsonValue {
  if (cell === null) return null;
  switch (type.kind) {
    case 'native':
      return nativeOf(type.name, cell);
    case 'custom':
      return hex(cell);
    case 'list':
    case 'set':
      return elementsOf(cell).map((element) => jsonOf(type.element, element, types));
    case 'map':
      return mapOf(type, cell, types);
    case 'tuple':
      return fieldsOf(cell).map((field, index) => jsonOf(type.elements[index] ?? BLOB, field, types));
    case 'vector':
      return vectorOf(type, cell, types);
    case 'udt': {
      const fields = types.find(({ name }) => name === type.name)?.fields ?? [];
      const cells = fieldsOf(cell);
      return Object.fromEntries(
        fields.map((field, index) => [
          field.name,
          jsonOf(parseType(field.type), cells[index] ?? null, types),
        ]),
      );
    }
  }
}

const BLOB: CqlType = { kind: 'native', name: 'blob' };

/** An object if the keys are text, otherwise a list of pairs. */
function mapOf(type: Extract<CqlType, { kind: 'map' }>, cell: Buffer, types: readonly UserType[]): JsonValue {
  const entries = entriesOf(cell).map(
    ([key, value]) => [jsonOf(type.key, key, types), jsonOf(type.value, value, types)] as const,
  );
  const isText = type.key.kind === 'native' && ['ascii', 'text', 'varchar'].includes(type.key.name);
  return isText ? Object.fromEntries(entries.map(([key, value]) => [String(key), value])) : entries;
}

const FIXED_BYTES: Readonly<Record<string, number>> = {
  bigint: 8,
  boolean: 1,
  double: 8,
  float: 4,
  int: 4,
  timestamp: 8,
  timeuuid: 16,
  uuid: 16,
};

/**
 * Decodes a vector whose elements have a fixed length, and so lie side by side. Other elements have a variable-length integer before them as their
 * length; such a vector is returned as hex.
 */
function vectorOf(
  type: Extract<CqlType, { kind: 'vector' }>,
  cell: Buffer,
  types: readonly UserType[],
): JsonValue {
  const bytes = type.element.kind === 'native' ? FIXED_BYTES[type.element.name] : undefined;
  if (bytes === undefined) return hex(cell);
  return Array.from({ length: type.dimension }, (_, index) =>
    jsonOf(type.element, cell.subarray(index * bytes, (index + 1) * bytes), types),
  );
}

function nativeOf(name: string, cell: Buffer): JsonValue {
  if (name === 'ascii' || name === 'text' || name === 'varchar' || name === 'jsonb')
    return cell.toString('utf8');
  if (name === 'blob') return hex(cell);
  if (cell.length === 0) return '';
  switch (name) {
    case 'bigint':
    case 'counter':
      return String(cell.readBigInt64BE(0));
    case 'boolean':
      return cell[0] !== 0;
    case 'date':
      return dateOf(cell.readUInt32BE(0));
    case 'decimal':
      return decimalOf(integerOf(cell.subarray(4)), cell.readInt32BE(0));
    case 'double':
      return floatOf(cell.readDoubleBE(0));
    case 'duration':
      return durationOf(cell);
    case 'float':
      return floatOf(cell.readFloatBE(0));
    case 'inet':
      return inetOf(cell);
    case 'int':
      return cell.readInt32BE(0);
    case 'smallint':
      return cell.readInt16BE(0);
    case 'time':
      return timeOf(cell.readBigInt64BE(0));
    case 'timestamp':
      return timestampOf(cell.readBigInt64BE(0));
    case 'timeuuid':
    case 'uuid':
      return cell.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    case 'tinyint':
      return cell.readInt8(0);
    case 'varint':
      return String(integerOf(cell));
    default:
      return hex(cell);
  }
}

function hex(cell: Buffer): string {
  return `0x${cell.toString('hex')}`;
}

function integerOf(bytes: Buffer): bigint {
  if (bytes.length === 0) return 0n;
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${bytes.toString('hex')}`));
}

/** JSON has no NaN, infinities or negative zero, so these become text. */
function floatOf(value: number): JsonValue {
  return Number.isFinite(value) && !Object.is(value, -0)
    ? value
    : Object.is(value, -0)
      ? '-0'
      : String(value);
}

const LONGEST_FRACTION = 100;

function decimalOf(unscaled: bigint, scale: number): string {
  if (scale < 0 || scale > LONGEST_FRACTION) return `${unscaled}E${-scale}`;
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  const sign = unscaled < 0n ? '-' : '';
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** The farthest from 1970 that JavaScript's dates go. A date or time beyond is shown as its number on the wire. */
const FARTHEST_MS = 8_640_000_000_000_000;

function dateOf(days: number): string {
  const ms = (days - 2 ** 31) * DAY_MS;
  return Math.abs(ms) > FARTHEST_MS ? String(days) : new Date(ms).toISOString().replace(/T.*$/, '');
}

function timestampOf(ms: bigint): string {
  const near = ms <= BigInt(FARTHEST_MS) && ms >= -BigInt(FARTHEST_MS);
  return near ? new Date(Number(ms)).toISOString() : String(ms);
}

function timeOf(nanoseconds: bigint): string {
  const part = (value: bigint, digits: number) => String(value).padStart(digits, '0');
  const seconds = nanoseconds / 1_000_000_000n;
  const clock = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n]
    .map((each) => part(each, 2))
    .join(':');
  return `${clock}.${part(nanoseconds % 1_000_000_000n, 9)}`;
}

function inetOf(cell: Buffer): string {
  if (cell.length === 4) return cell.join('.');
  return cell.toString('hex').replace(/(.{4})(?=.)/g, '$1:');
}

/** Months, days and nanoseconds, each a zigzag variable-length integer. */
function durationOf(cell: Buffer): string {
  let at = 0;
  const next = (): bigint => {
    const first = cell[at] ?? 0;
    const extra = Math.clz32(~(first << 24) >>> 0);
    let value = BigInt(first & (0xff >> extra));
    for (let index = 1; index <= extra; index += 1) value = (value << 8n) | BigInt(cell[at + index] ?? 0);
    at += extra + 1;
    return (value >> 1n) ^ -(value & 1n);
  };
  return `${next()}mo${next()}d${next()}ns`;
}
