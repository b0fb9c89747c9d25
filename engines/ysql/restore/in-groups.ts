/** How much a group may hold. An item that outweighs a group is one by itself. */
interface GroupLimits<Item> {
  readonly maxItems: number;
  /** In the unit of `weightOf`, of all items together. */
  readonly maxWeight: number;
  readonly weightOf: (item: Item) => number;
}

/** Items in groups of neighbours, each as large as its limits allow. Pure. */
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
