import { elementsOf, joinElements, type RawCell } from '../rows.ts';

/*
 * A list that isn't frozen can't be written twice: its elements have no place of their own but a time-based id that the server
 * makes for each write, so the same list at the same time of writing comes out doubled, and deleting the list as a whole would also
 * hide what is written at an earlier time than now. Nor can an element be named by its index, since one that expires moves those
 * behind it. So a list is written in one go, all its statements in one batch, which is one mutation of one partition: it is there
 * as a whole or not at all, and its elements keep their order. Before it is written again, what the backup has of it is taken away
 * by value, at a time no earlier than any of its elements' own.
 */

/** Elements that stand side by side, were written at one time and expire at one time. */
interface ListRun {
  readonly writeTime: RawCell;
  /** Seconds left; 0: never. */
  readonly ttl: number;
  readonly elements: RawCell[];
}

/** Which elements of a collection were written at one time and expire at one time. */
interface ElementGroup {
  readonly writeTime: RawCell;
  readonly ttl: number;
  readonly indexes: readonly number[];
}

/** A list cut where the time or the expiry changes; elements of no group are left out. */
export function runsOf(list: Buffer, groups: readonly ElementGroup[]): readonly ListRun[] {
  const groupOf = new Map(groups.flatMap((group) => group.indexes.map((index) => [index, group] as const)));
  const runs: ListRun[] = [];
  let before: ElementGroup | undefined;
  for (const [index, element] of elementsOf(list).entries()) {
    const group = groupOf.get(index);
    if (group === undefined) continue;
    if (group === before) runs.at(-1)?.elements.push(element);
    else runs.push({ writeTime: group.writeTime, ttl: group.ttl, elements: [element] });
    before = group;
  }
  return runs;
}

/** Each value that a list holds, once. */
export function valuesIn(list: Buffer): Buffer {
  const values = new Map(elementsOf(list).map((element) => [element?.toString('latin1'), element]));
  return joinElements(values.size, [...values.values()]);
}

/** The latest of the times at which the elements of a collection were written; null where none is known. */
export function latestOf(writeTimes: RawCell): RawCell {
  if (writeTimes === null) return null;
  return elementsOf(writeTimes).reduce(
    (latest, time) =>
      latest === null || (time !== null && latest.readBigInt64BE(0) < time.readBigInt64BE(0)) ? time : latest,
    null,
  );
}
