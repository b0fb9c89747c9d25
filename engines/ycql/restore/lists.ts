import { elementsOf, joinElements, type RawCell } from '../rows.ts';
import { cutBySize } from './mutation-size.ts';

/*
 * A list that isn't frozen can't be written twice. The server identifies an element only by a time-based id that it makes at each write, so writing
 * the same list at the same write time again doubles it. Deleting the whole list first would also hide what is written with an earlier time. Nor
 * does an index identify an element, since an element that expires moves those behind it. So all statements of a list go in one batch, which is one
 * mutation of one partition: the list is there as a whole or not at all, and its elements keep their order. A list that is too large for one mutation
 * goes in several batches, one after another and over one node, whose ids grow; if one of them fails, the list begins anew. Before a list is written again, the
 * backup's elements are removed by value, at a time no earlier than any element's own.
 */

/** Neighbouring elements with the same write time and the same expiry. */
interface ListRun {
  readonly writeTime: RawCell;
  /** Seconds left; 0: never. */
  readonly ttl: number;
  readonly elements: RawCell[];
}

/** The elements of a collection with one write time and one expiry. */
interface ElementGroup {
  readonly writeTime: RawCell;
  readonly ttl: number;
  readonly indexes: readonly number[];
}

/** Cuts a list wherever write time or expiry changes. Leaves out elements of no group. */
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

/** The distinct values of a list, as a list; as several where one would make too large a request. */
export function valuesIn(list: Buffer): readonly Buffer[] {
  const values = new Map(elementsOf(list).map((element) => [element?.toString('latin1'), element ?? null]));
  return cutBySize([...values.values()], (value) => value?.length ?? 0).map((run) =>
    joinElements(run.length, run),
  );
}

/** The latest write time of a collection's elements; null if none is known. */
export function latestOf(writeTimes: RawCell): RawCell {
  if (writeTimes === null) return null;
  return elementsOf(writeTimes).reduce(
    (latest, time) =>
      latest === null || (time !== null && latest.readBigInt64BE(0) < time.readBigInt64BE(0)) ? time : latest,
    null,
  );
}
