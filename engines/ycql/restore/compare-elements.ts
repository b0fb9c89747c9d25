import type { CqlType } from '../cql-type.ts';
import { elementsOf, entriesOf, fieldsOf, type RawCell, sameCell } from '../rows.ts';

/** A collection, or a value of a user-defined type that isn't frozen, of one side. */
interface ElementsOfSide {
  readonly value: RawCell;
  /** Of each element; null where times aren't compared. */
  readonly times: RawCell;
  /** When each element expires, milliseconds since 1970; undefined: never. */
  readonly expiries: readonly (number | undefined)[];
}

interface ElementRules {
  /** An element with this expiry may be gone by now. */
  readonly isOver: (expiry: number | undefined) => boolean;
  readonly isSameExpiry: (wanted: number | undefined, found: number | undefined) => boolean;
}

interface Element {
  /** What it is found by: a map's key, a set's element, the place of a field. Elements of lists go by their order. */
  readonly name: string;
  readonly value: RawCell;
  readonly time: RawCell;
  readonly expiry: number | undefined;
}

/**
 * How the elements that are found differ from those that are wanted, of which the ones that have expired may be missing; undefined where
 * they don't. Pure.
 */
export function differenceInElements(
  type: CqlType,
  wanted: ElementsOfSide,
  found: ElementsOfSide,
  { isOver, isSameExpiry }: ElementRules,
): string | undefined {
  const left = [...elementsIn(type, found)];
  for (const element of elementsIn(type, wanted)) {
    const at = type.kind === 'list' ? 0 : left.findIndex(({ name }) => name === element.name);
    const other = left[at];
    const difference =
      other === undefined
        ? 'lacks an element'
        : !sameCell(element.value, other.value)
          ? 'holds another element'
          : !sameCell(element.time, other.time)
            ? 'has an element that was written at another time'
            : !isSameExpiry(element.expiry, other.expiry)
              ? 'has an element that expires at another time'
              : undefined;
    if (difference === undefined) left.splice(at, 1);
    else if (!isOver(element.expiry)) return difference;
    // A map's or a field's own element that has expired can only have gone: another one in its place is one too many, below.
  }
  return left.length === 0 ? undefined : 'holds an element too many';
}

function elementsIn(type: CqlType, { value, times, expiries }: ElementsOfSide): readonly Element[] {
  if (value === null) return [];
  const written = times === null ? [] : elementsOf(times);
  const element = (name: string, bytes: RawCell, place: number): Element => ({
    name,
    value: bytes,
    time: written[place] ?? null,
    expiry: expiries[place],
  });
  switch (type.kind) {
    case 'map':
      return entriesOf(value).map(([key, bytes], place) => element(hexOf(key), bytes, place));
    case 'udt':
      return fieldsOf(value).flatMap((bytes, place) =>
        bytes === null ? [] : [element(String(place), bytes, place)],
      );
    default:
      return elementsOf(value).map((bytes, place) =>
        element(type.kind === 'set' ? hexOf(bytes) : '', bytes, place),
      );
  }
}

function hexOf(cell: RawCell): string {
  return cell?.toString('hex') ?? 'null';
}
