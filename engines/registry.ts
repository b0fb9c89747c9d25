import { rowSource } from '../model/engine-kind.ts';
import { permanent } from '../model/errors.ts';
import type { EngineName, LogicalSource, Source, UniverseSource } from '../model/pipeline.ts';
import type { Engine, RowEngine } from './engine.ts';
import type { TabletEngine } from './tablet-engine.ts';

const ENGINES = {
  ysql: async () => (await import('./ysql/engine.ts')).ysqlEngine,
  ycql: async () => (await import('./ycql/engine.ts')).ycqlEngine,
  universe: async () => (await import('./universe/engine.ts')).universeEngine,
} as const satisfies Readonly<Record<EngineName, () => Promise<Engine>>>;

/** The engine that reads and writes a source. It is loaded when it is first asked for: most workers meet one engine, and each has a driver of its own. */
export function engineOf(source: Pick<LogicalSource, 'engine'>): Promise<RowEngine>;
export function engineOf(source: Pick<UniverseSource, 'engine'>): Promise<TabletEngine>;
export function engineOf(source: Pick<Source, 'engine'>): Promise<Engine>;
export function engineOf({ engine }: Pick<Source, 'engine'>): Promise<Engine> {
  return ENGINES[engine]();
}

/** Narrows the source of a step that only row engines have. Throws `UNIVERSE_HAS_NO_ROWS` (permanent). */
export function logical(source: Source): LogicalSource {
  const rows = rowSource(source);
  if (rows !== undefined) return rows;
  throw permanent(
    'UNIVERSE_HAS_NO_ROWS',
    'A distributed snapshot is not read row by row',
    'Report this: it is a mistake in Holdfast.',
  );
}
