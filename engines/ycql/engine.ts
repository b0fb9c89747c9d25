import type { YcqlSource } from '../../model/pipeline.ts';
import { rowEngine } from '../row-engine.ts';
import { checkSource } from './check.ts';
import { exportWorkList } from './export.ts';
import { flush } from './flush.ts';
import { identify } from './identify.ts';
import { restoreEngine } from './restore/engine.ts';
import { restoreKit } from './restore-kit.ts';
import { seal } from './seal.ts';
import { openReadPoint } from './snapshot.ts';
import { runStatement } from './sql.ts';
import { upload } from './upload.ts';

/** The logical engine for YugabyteDB's YCQL and for Apache Cassandra. It needs only the CQL port. */
export const ycqlEngine = rowEngine<YcqlSource>({
  name: 'ycql',
  identify,
  check: checkSource,
  flush,
  openReadPoint,
  export: exportWorkList,
  upload,
  seal,
  restoreKit,
  sql: runStatement,
  restore: restoreEngine,
});
