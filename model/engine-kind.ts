import type { EngineName, LogicalSource, Source, UniverseSource } from './pipeline.ts';

/**
 * How data travels between a source and a repository. `rows`: tables are read and written row by row, by any worker. `tablets`: the
 * database's own files are moved by agents beside its servers.
 */
export type EngineKind = 'rows' | 'tablets';

const KINDS: Readonly<Record<EngineName, EngineKind>> = { ysql: 'rows', ycql: 'rows', universe: 'tablets' };

/** What a workflow asks where a transfer or a restore has other steps for rows than for tablets. Pure: the same at every replay. */
export function kindOf({ engine }: Pick<Source, 'engine'>): EngineKind {
  return KINDS[engine];
}

/** The source, where its tables are read row by row; else undefined. */
export function rowSource(source: Source): LogicalSource | undefined {
  return movesTablets(source) ? undefined : source;
}

/** The source, where agents move its tablets; else undefined. It alone keeps a history of its own (`docs/universe.md`). */
export function tabletSource(source: Source): UniverseSource | undefined {
  return movesTablets(source) ? source : undefined;
}

/** As `kindOf`, and narrows the type. */
export function movesTablets(source: Source): source is UniverseSource {
  return kindOf(source) === 'tablets';
}
