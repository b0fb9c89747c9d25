import type { EngineName, LogicalSource, Source, UniverseSource } from './pipeline.ts';

/**
 * How data travels between a source and a repository. `rows`: any worker reads and writes tables row by row. `tablets`: agents
 * beside the database's servers move the database's own files.
 */
export type EngineKind = 'rows' | 'tablets';

const KINDS: Readonly<Record<EngineName, EngineKind>> = { ysql: 'rows', ycql: 'rows', universe: 'tablets' };

/**
 * The kind of a source. Workflows ask it where a transfer or a restore has different steps for rows and for tablets. Pure: a replay
 * gets the same.
 */
export function kindOf({ engine }: Pick<Source, 'engine'>): EngineKind {
  return KINDS[engine];
}

/** The source if its tables are read row by row; else undefined. */
export function rowSource(source: Source): LogicalSource | undefined {
  return movesTablets(source) ? undefined : source;
}

/** The source if agents move its tablets; else undefined. Only such a source keeps a history of its own (`docs/universe.md`). */
export function tabletSource(source: Source): UniverseSource | undefined {
  return movesTablets(source) ? source : undefined;
}

/** Like `kindOf`, and narrows the type. */
export function movesTablets(source: Source): source is UniverseSource {
  return kindOf(source) === 'tablets';
}
