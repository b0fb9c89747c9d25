import type { InstantRange } from '../../model/recovery.ts';

/** The same instants in as few ranges as possible, oldest first. Ranges that overlap or touch are joined. Pure. */
export function unionOf(ranges: readonly InstantRange[]): readonly InstantRange[] {
  const union: { from: string; to: string }[] = [];
  for (const { from, to } of ranges.toSorted((one, other) => Date.parse(one.from) - Date.parse(other.from))) {
    const last = union.at(-1);
    if (last === undefined || Date.parse(last.to) < Date.parse(from)) union.push({ from, to });
    else if (Date.parse(last.to) < Date.parse(to)) last.to = to;
  }
  return union;
}
