/**
 * Whether a glob matches a whole name: `*` is any run of characters, `?` is one character, and case counts. Its time is bounded
 * by the product of both lengths, since it only ever tries the last star again.
 */
export function globMatches(glob: string, name: string): boolean {
  if (!isGlob(glob)) return glob === name;
  // Compare characters, not UTF-16 units, so that `?` matches a whole character.
  const [wanted, given] = [[...glob], [...name]];
  let globAt = 0;
  let nameAt = 0;
  let star = -1;
  let starName = 0;
  while (nameAt < given.length) {
    const next = wanted[globAt];
    if (next === '*') {
      star = globAt;
      starName = nameAt;
      globAt += 1;
    } else if (next === '?' || next === given[nameAt]) {
      globAt += 1;
      nameAt += 1;
    } else if (star !== -1) {
      globAt = star + 1;
      starName += 1;
      nameAt = starName;
    } else return false;
  }
  while (wanted[globAt] === '*') globAt += 1;
  return globAt === wanted.length;
}

/** False for a plain name, which matches only itself. */
export function isGlob(pattern: string): boolean {
  return /[*?]/.test(pattern);
}
