/** Numbers of a YugabyteDB version, from `15.12-YB-2025.1.0.0-b0` or `2024.2.1.0`; undefined where there are none. */
function yugabyteVersion(text: string): readonly number[] | undefined {
  const [, version] = /(?:^|-YB-)(\d+(?:\.\d+){2,3})(?:-|$|\s)/.exec(text) ?? [];
  return version?.split('.').map(Number);
}

/** Before 2024 a release with an even second number was stable; since then all are, but 2.2x with an odd one. */
function isStable([major = 0, minor = 0]: readonly number[]): boolean {
  return major >= 2024 || minor % 2 === 0;
}

/**
 * Why a backup made by `from` can't be restored by `to`; undefined when it can. YugabyteDB's rule: the same or a higher version
 * of the same track (stable or preview). What can't be read is not judged.
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
