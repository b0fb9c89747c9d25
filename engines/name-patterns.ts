import type { NamePatterns } from '../model/pipeline.ts';

/** A test over names by glob patterns: `*` is any run of characters, `?` is one; excluded wins; empty `include` is all. */
export function nameMatcher(patterns: NamePatterns): NameMatcher {
  const include = patterns.include.map(globToRegExp);
  const exclude = patterns.exclude.map(globToRegExp);
  const included = (name: string) => include.length === 0 || include.some((pattern) => pattern.test(name));
  const excluded = (name: string) => exclude.some((pattern) => pattern.test(name));
  return {
    included,
    excluded,
    matches: (name) => included(name) && !excluded(name),
    all: include.length === 0 && exclude.length === 0,
  };
}

export interface NameMatcher {
  readonly included: (name: string) => boolean;
  readonly excluded: (name: string) => boolean;
  readonly matches: (name: string) => boolean;
  /** True when no pattern can leave anything out. */
  readonly all: boolean;
}

function globToRegExp(glob: string): RegExp {
  const source = glob
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'su');
}
