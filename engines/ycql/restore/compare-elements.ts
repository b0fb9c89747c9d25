import type { CqlType } from '../cql-type.ts';
import { elementsOf, entriesOf, fieldsOf, type RawCell, sameCell } from '../rows.ts';

/** One side's collection, or its value of a user-defined type that isn't frozen. */
interface ElementsOfSide {
  readonly value: RawCell;
  /** Write time of each element; null if times aren't compared. */
  readonly times: RawCell;
  /** When each element expires, milliseconds since 1970; undefined: never. */
  readonly expiries: readonly (number | undefined)[];
}

interface ElementRules {
  /** Whether an element with this expiry may be gone by now. */
  readonly isOver: (expiry: number | undefined) => boolean;
  readonly isSameExpiry: (wanted: number | undefined, found: number | undefined) => boolean;
}

interface Element {
  /** What identifies it: a map's key, a set's element, the index of a field. Elements of lists are matched by their order. */
  readonly name: string;
  readonly value: RawCell;
  readonly time: RawCell;
  readonly expiry: number | undefined;
}

/** Says how the elements found differ from those wanted; undefined if they don't. Wanted elements that have expired may be missing. Pure. */
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
    // An expired element of a map or a field can only be gone. Another one in its place is reported below as one too many.
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
