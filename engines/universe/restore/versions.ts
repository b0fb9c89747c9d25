/** Numbers of a YugabyteDB version, from `15.12-YB-2025.1.0.0-b0` or `2024.2.1.0`; undefined where there are none. */
function yugabyteVersion(text: string): readonly number[] | undefined {
  const [, version] = /(?:^|-YB-)(\d+(?:\.\d+){2,3})(?:-|$|\s)/.exec(text) ?? [];
  return version?.split('.').map(Number);
}

/** Releases from 2024 on are stable. Of earlier ones and of 2.2x, those with an even second number are; an odd one is a preview. */
function isStable([major = 0, minor = 0]: readonly number[]): boolean {
  return major >= 2024 || minor % 2 === 0;
}

/**
 * Why a backup made by version `from` can't be restored by version `to`; undefined if it can, or if a version can't be parsed. YugabyteDB's rule:
 * the same or a higher version of the same track (stable or preview).
 */
export function incompatibility(from: string, to: string): string | undefined {
  const [old, target] = [yugabyteVersion(from), yugabyteVersion(to)];
  if (old === undefined || target === undefined) return undefined;
  const words = (version: readonly number[]) => version.join('.');
  if (isStable(old) !== isStable(target)) {
    return `the backup is of YugabyteDB ${words(old)} and the universe runs ${words(target)}: one is a stable release, the other a preview`;
  }
  for (const [place, number] of old.entries()) {
    const other = target[place] ?? 0;
    if (other > number) return undefined;
    if (other < number)
      return `the backup is of YugabyteDB ${words(old)}, and the universe runs the older ${words(target)}`;
  }
  return undefined;
}
