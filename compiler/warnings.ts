import type { CompiledPlan } from '../model/pipeline.ts';

/** What is allowed in a plan and may still surprise its author, each in a sentence or two. */
export function warningsOf({ pipeline, window }: CompiledPlan): readonly string[] {
  if (window === undefined || pipeline.source.engine !== 'ysql') return [];
  return [
    'While its `window` is closed, an unfinished backup goes on holding its read point: PostgreSQL keeps its snapshot open, so that VACUUM removes ' +
      'nothing newer, and YugabyteDB must keep history since then. Choose a window in which a whole backup fits.',
  ];
}
