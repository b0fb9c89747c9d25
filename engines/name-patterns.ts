import { globMatches } from '../model/glob.ts';
import type { NamePatterns } from '../model/pipeline.ts';

/** A test over names by glob patterns: `*` is any run of characters, `?` is one; excluded wins; empty `include` is all. */
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

export interface NameMatcher {
  readonly included: (name: string) => boolean;
  readonly excluded: (name: string) => boolean;
  readonly matches: (name: string) => boolean;
  /** True when no pattern can leave anything out. */
  readonly all: boolean;
}
