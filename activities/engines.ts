import type { EngineName, Source } from '../model/pipeline.ts';
import type { Engine } from './engine.ts';
import { ysqlEngine } from './ysql/engine.ts';

const ENGINES: Readonly<Record<EngineName, Engine>> = { ysql: ysqlEngine };

export function engineOf(source: Pick<Source, 'engine'>): Engine {
  return ENGINES[source.engine];
}
