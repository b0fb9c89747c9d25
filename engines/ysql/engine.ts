import type { YsqlSource } from '../../model/pipeline.ts';
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

/** The logical engine for YugabyteDB's YSQL and for PostgreSQL 15 or newer. It needs only the SQL port. */
export const ysqlEngine = rowEngine<YsqlSource>({
  name: 'ysql',
  sharesRows: true,
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
