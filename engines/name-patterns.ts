import { permanent } from '../model/errors.ts';
import { globMatches, isGlob } from '../model/glob.ts';
import type { NamePatterns } from '../model/pipeline.ts';

/** Tests names by glob patterns: `*` matches any run of characters, `?` one. An exclusion wins; an empty `include` matches every name. */
export function nameMatcher(patterns: NamePatterns): NameMatcher {
  const { include, exclude } = patterns;
  const included = (name: string) => include.length === 0 || include.some((glob) => globMatches(glob, name));
  const excluded = (name: string) => exclude.some((glob) => globMatches(glob, name));
  return {
    included,
    excluded,
    matches: (name) => included(name) && !excluded(name),
    all: include.length === 0 && exclude.length === 0,
  };
}

interface NameMatcher {
  readonly included: (name: string) => boolean;
  readonly excluded: (name: string) => boolean;
  readonly matches: (name: string) => boolean;
  /** True when no pattern can leave anything out. */
  readonly all: boolean;
}

/**
 * Refuses a request with table names that the backup doesn't have, in `include` or `exclude`. A name without wildcards must exist; a glob may match
 * nothing. Throws `RESTORE_NO_SUCH_TABLE` (permanent).
 *
 * @param names the tables of the backup, written as in patterns
 */
export function refuseUnknownNames({ include, exclude }: NamePatterns, names: ReadonlySet<string>): void {
  const unknown = [...include, ...exclude].filter((pattern) => !isGlob(pattern) && !names.has(pattern));
  if (unknown.length === 0) return;
  throw permanent(
    'RESTORE_NO_SUCH_TABLE',
    `The backup has no table ${unknown.join(', ')}`,
    'Correct the names: `holdfast show` lists the tables of a backup.',
  );
}
