/** Limits of a group. An item heavier than the limit forms a group by itself. */
interface GroupLimits<Item> {
  readonly maxItems: number;
  /** Total weight of a group's items, in the unit of `weightOf`. */
  readonly maxWeight: number;
  readonly weightOf: (item: Item) => number;
}

/** Divides items, in order, into groups that are as large as the limits allow. Pure. */
export function inGroups<Item>(
  items: readonly Item[],
  { maxItems, maxWeight, weightOf }: GroupLimits<Item>,
): readonly (readonly Item[])[] {
  const groups: Item[][] = [];
  let weight = 0;
  for (const item of items) {
    const own = weightOf(item);
    const group = groups.at(-1);
    if (group !== undefined && group.length < maxItems && weight + own <= maxWeight) {
      group.push(item);
      weight += own;
    } else {
      groups.push([item]);
      weight = own;
    }
  }
  return groups;
}
