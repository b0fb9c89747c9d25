import { rowSource } from '../model/engine-kind.ts';
import { permanent } from '../model/errors.ts';
import type { EngineName, LogicalSource, Source, UniverseSource } from '../model/pipeline.ts';
import type { Engine, RowEngine } from './engine.ts';
import type { TabletEngine } from './tablet-engine.ts';
import { universeEngine } from './universe/engine.ts';
import { ycqlEngine } from './ycql/engine.ts';
import { ysqlEngine } from './ysql/engine.ts';

const ENGINES = { ysql: ysqlEngine, ycql: ycqlEngine, universe: universeEngine } as const satisfies Readonly<
  Record<EngineName, Engine>
>;

/** The engine that reads and writes a source. */
export function engineOf(source: Pick<LogicalSource, 'engine'>): RowEngine;
export function engineOf(source: Pick<UniverseSource, 'engine'>): TabletEngine;
export function engineOf(source: Pick<Source, 'engine'>): Engine;
export function engineOf({ engine }: Pick<Source, 'engine'>): Engine {
  return ENGINES[engine];
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
