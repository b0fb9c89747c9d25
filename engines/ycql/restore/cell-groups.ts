import type { CqlType } from '../cql-type.ts';
import { elementsOf, entriesOf, fieldsOf, joinElements, type RawCell, sameCell } from '../rows.ts';
import { ttlSeconds } from '../ttl.ts';
import { bytesOfElements, bytesOfValue, cutBySize } from './mutation-size.ts';

/** A column outside the key, and the places of its cells in a row. */
export interface ValueColumn {
  readonly name: string;
  readonly type: CqlType;
  readonly isMultiCell: boolean;
  readonly isStatic: boolean;
  /** Its index among the columns of its kind. */
  readonly place: number;
  readonly valueAt: number;
  readonly writeTimeAt: number | undefined;
  readonly ttlAt: number | undefined;
}

/** Cells with one write time and one expiry. */
export interface Group {
  readonly writeTime: RawCell;
  /** Seconds left; 0: never. */
  readonly ttl: number;
  readonly values: { readonly column: ValueColumn; readonly value: Buffer }[];
}

/** Elements of one collection with one write time and one expiry. */
export interface ElementGroup {
  readonly writeTime: RawCell;
  readonly ttl: number;
  readonly indexes: number[];
}

/** Seconds left; 0: never expires; undefined: has expired. */
export function ttlLeft(cell: RawCell, elapsed: number): number | undefined {
  if (cell === null) return 0;
  const left = ttlSeconds(cell) - elapsed;
  return left > 0 ? left : undefined;
}

/** Groups the elements of a collection by write time and seconds left. Expired ones are left out and counted. */
export function elementGroups(
  type: CqlType,
  value: Buffer,
  writeTimes: RawCell,
  ttls: RawCell,
  elapsed: number,
): { readonly groups: readonly ElementGroup[]; readonly lapsed: number } {
  const indexes = presentElements(type, value);
  const times = writeTimes === null ? [] : elementsOf(writeTimes);
  const left = ttls === null ? [] : elementsOf(ttls);
  const groups: ElementGroup[] = [];
  let lapsed = 0;
  for (const index of indexes) {
    const writeTime = times[index] ?? null;
    const ttl = ttlLeft(left[index] ?? null, elapsed);
    if (ttl === undefined) {
      lapsed += 1;
      continue;
    }
    const known = groups.find((group) => group.ttl === ttl && sameCell(group.writeTime, writeTime));
    if (known !== undefined) known.indexes.push(index);
    else groups.push({ writeTime, ttl, indexes: [index] });
  }
  return { groups, lapsed };
}

/** Cells that are too large for one statement, in several with the same time and expiry. */
export function cutGroup(group: Group): readonly Group[] {
  const runs = cutBySize(group.values, ({ column, value }) => bytesOfValue(column.type, value));
  return runs.length < 2 ? [group] : runs.map((values) => ({ ...group, values }));
}

/** The same for the elements of a collection. */
export function cutGroups(
  type: CqlType,
  value: Buffer,
  groups: readonly ElementGroup[],
): readonly ElementGroup[] {
  const bytes = bytesOfElements(type, value);
  return groups.flatMap((group) =>
    cutBySize(group.indexes, (index) => bytes[index] ?? 0).map((indexes) => ({ ...group, indexes })),
  );
}

/** Indexes of the elements of a value; of a user-defined type, of its fields that aren't null. */
function presentElements(type: CqlType, value: Buffer): readonly number[] {
  if (type.kind === 'udt') return fieldsOf(value).flatMap((field, index) => (field === null ? [] : [index]));
  const count = value.length < 4 ? 0 : value.readInt32BE(0);
  return Array.from({ length: count }, (_, index) => index);
}

/** The part of a value that belongs to some groups: elements, or fields of a user-defined type. */
export function partOf(type: CqlType, value: Buffer, groups: readonly ElementGroup[]): Buffer {
  const indexes = groups.flatMap((group) => group.indexes).sort((one, other) => one - other);
  if (type.kind === 'map') {
    const all = entriesOf(value);
    return joinElements(
      indexes.length,
      indexes.flatMap((index) => all[index] ?? [null, null]),
    );
  }
  if (type.kind === 'udt') {
    // A value of a user-defined type has no count before its fields.
    const fields = fieldsOf(value).map((field, index) => (indexes.includes(index) ? field : null));
    return joinElements(fields.length, fields).subarray(4);
  }
  const all = elementsOf(value);
  return joinElements(
    indexes.length,
    indexes.map((index) => all[index] ?? null),
  );
}
