import { type CqlType, parseType } from '../../../engines/ycql/cql-type.ts';
import type { Dice } from '../../crash/dice.ts';

/** Fields of a user-defined type, in order. */
export type TypeFields = ReadonlyMap<string, readonly { readonly name: string; readonly type: string }[]>;

/** A random value of a type as CQL sends it. */
export function randomValue(type: CqlType, types: TypeFields, dice: Dice): Buffer {
  switch (type.kind) {
    case 'native':
      return native(type.name, dice);
    case 'list':
      return elements(
        Array.from({ length: whole(dice, 1, 4) }, () => randomValue(type.element, types, dice)),
      );
    case 'set':
      return elements(distinct(type.element, types, dice));
    case 'map':
      return elements(
        distinct(type.key, types, dice).flatMap((key) => [key, randomValue(type.value, types, dice)]),
        2,
      );
    case 'tuple':
      return fields(type.elements.map((each) => (dice.chance(0.2) ? null : randomValue(each, types, dice))));
    case 'udt':
      return fields(
        (types.get(type.name) ?? []).map((field, index) =>
          index > 0 && dice.chance(0.3) ? null : randomValue(parseType(field.type), types, dice),
        ),
      );
    case 'vector':
      return Buffer.concat(Array.from({ length: type.dimension }, () => native('float', dice)));
    case 'custom':
      throw new Error(`no values of ${type.className}`);
  }
}

/** Of a set or the keys of a map: each once, in the order in which the server has them, so one at most where that is not plain. */
function distinct(type: CqlType, types: TypeFields, dice: Dice): readonly Buffer[] {
  if (type.kind === 'native' && type.name === 'text') {
    return ['a', 'b', 'c', 'd']
      .filter(() => dice.chance(0.6))
      .concat(['e'])
      .map((text) => Buffer.from(text));
  }
  return [randomValue(type, types, dice)];
}

export function fields(cells: readonly (Buffer | null)[]): Buffer {
  return Buffer.concat(cells.flatMap((cell) => (cell === null ? [int32(-1)] : [int32(cell.length), cell])));
}

/** @param perEntry 2 for keys and values in turn */
export function elements(cells: readonly Buffer[], perEntry = 1): Buffer {
  return Buffer.concat([int32(cells.length / perEntry), fields(cells)]);
}

function native(name: string, dice: Dice): Buffer {
  switch (name) {
    case 'ascii':
      return Buffer.from(dice.pick(['plain', "it's", '', 'a,b']));
    case 'text':
      return Buffer.from(
        dice.pick(['naïve', '日本', '', 'tab\there', '🦁', 'x'.repeat(whole(dice, 1, 300))]),
      );
    case 'jsonb':
      return Buffer.from(JSON.stringify({ n: whole(dice, 0, 100) }));
    case 'blob':
      return bytes(dice, whole(dice, 0, 40));
    case 'boolean':
      return Buffer.from([dice.chance(0.5) ? 1 : 0]);
    case 'tinyint':
      return bytes(dice, 1);
    case 'smallint':
      return bytes(dice, 2);
    case 'int':
      return int32(whole(dice, -(2 ** 31), 2 ** 31));
    case 'bigint':
    case 'timestamp':
      return bytes(dice, 8);
    case 'float':
    case 'double': {
      const value = Buffer.alloc(8);
      value.writeDoubleBE(dice.pick([0, -0, Number.NaN, Number.POSITIVE_INFINITY, Math.PI]));
      return value.subarray(0, name === 'float' ? 4 : 8);
    }
    case 'varint':
      return dice.pick([
        Buffer.from([0]),
        Buffer.from([0xff, 0x7f]),
        Buffer.from([0x01, 0, 0, 0, 0, 0, 0, 0, 7]),
      ]);
    case 'decimal':
      return Buffer.concat([int32(whole(dice, -5, 9)), native('varint', dice)]);
    case 'date':
      return bytes(dice, 4);
    case 'time': {
      const value = Buffer.alloc(8);
      value.writeBigInt64BE(BigInt(whole(dice, 0, 86_399)) * 1_000_000_000n);
      return value;
    }
    case 'inet':
      return bytes(dice, dice.chance(0.5) ? 4 : 16);
    case 'uuid':
      return uuid(dice, 4);
    case 'timeuuid':
      return uuid(dice, 1);
    case 'duration':
      return Buffer.from([2, 4, 6]);
    default:
      throw new Error(`no values of ${name}`);
  }
}

function uuid(dice: Dice, version: number): Buffer {
  const value = bytes(dice, 16);
  value[6] = ((value[6] ?? 0) & 0x0f) | (version << 4);
  value[8] = ((value[8] ?? 0) & 0x3f) | 0x80;
  return value;
}

export function whole(dice: Dice, from: number, to: number): number {
  return Math.floor(dice.between(from, to));
}

export function bytes(dice: Dice, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => whole(dice, 0, 256)));
}

export function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

export function int64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(value);
  return buffer;
}
