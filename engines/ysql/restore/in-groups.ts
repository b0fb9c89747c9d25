/** How much a group may hold. An item that outweighs a group is one by itself. */
export interface GroupLimits<Item> {
  /** Most items of a group. */
  readonly most: number;
  /** Most of what `weightOf` tells, together. */
  readonly mostWeight: number;
  readonly weightOf: (item: Item) => number;
}

/** Items in groups of neighbours, each as large as its limits allow. Pure. */
export function inGroups<Item>(
  items: readonly Item[],
  { most, mostWeight, weightOf }: GroupLimits<Item>,
): readonly (readonly Item[])[] {
  const groups: Item[][] = [];
  let weight = 0;
  for (const item of items) {
    const own = weightOf(item);
    const group = groups.at(-1);
    if (group !== undefined && group.length < most && weight + own <= mostWeight) {
      group.push(item);
      weight += own;
    } else {
      groups.push([item]);
      weight = own;
    }
  }
  return groups;
}
