import { permanent } from '../model/errors.ts';
import type { LogicalSource, Source } from '../model/pipeline.ts';
import type { Engine } from './engine.ts';
import { ycqlEngine } from './ycql/engine.ts';
import { ysqlEngine } from './ysql/engine.ts';

const ENGINES: Readonly<Record<LogicalSource['engine'], Engine>> = { ysql: ysqlEngine, ycql: ycqlEngine };

export function engineOf(source: Pick<LogicalSource, 'engine'>): Engine {
  return ENGINES[source.engine];
}

/** The source of a step that only logical engines have. Throws `UNIVERSE_HAS_NO_ROWS` (permanent). */
export function logical(source: Source): LogicalSource {
  if (source.engine !== 'universe') return source;
  throw permanent(
    'UNIVERSE_HAS_NO_ROWS',
    'A distributed snapshot is not read row by row',
    'Report this: it is a mistake in Holdfast.',
  );
}
