/** The remedy `Did you mean …?`, if one of the candidates is close to what was written. */
export function didYouMean(written: string, candidates: readonly string[]): string | undefined {
  const found = closest(written, candidates);
  return found === undefined ? undefined : `Did you mean \`${found}\`?`;
}

/** The candidate closest to a word, if the word could be a mistyped or misremembered form of it. */
export function closest(written: string, candidates: readonly string[]): string | undefined {
  if (written.length > 100) return undefined;
  const word = simplified(written);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(written.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, simplified(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `keep_last`, `keep-last` and `KeepLast` all mean `keepLast`. */
function simplified(word: string): string {
  return word.toLowerCase().replace(/[-_\s]/g, '');
}

/** How many insertions, deletions, replacements and swaps of neighbours turn one word into the other. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = (last[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const swapped =
        a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
          ? (beforeLast[column - 2] ?? 0) + 1
          : Number.POSITIVE_INFINITY;
      current.push(Math.min(replaced, swapped, (last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
