import { defined } from '../../model/defined.ts';
import { HoldfastError } from '../../model/errors.ts';
import { estimatedText, hasBlocks, readShapes, type TableShape, type TableToCut } from './chunks.ts';
import { CUT_BUDGET, type CutBudget, cutByKey } from './key-places.ts';
import type { Relation, Selection } from './server/catalog.ts';
import { refusedValue, sqlState } from './server/errors.ts';
import { quoteTable, tableName } from './server/identifiers.ts';
import type { Product } from './server/server.ts';
import type { Session } from './server/session.ts';
import { givingLocksBack } from './slices/unlocked-tables.ts';
import { exceedsChunk, hashedBytes } from './table-size.ts';

/** Options for examining a database's tables before they are cut. */
export interface CutOptions {
  readonly product: Product;
  /** How much COPY text a chunk should have, bytes. */
  readonly chunkBytes: number;
  /** Reports that work goes on (a heartbeat). */
  readonly report: (progress: Readonly<Record<string, string>>) => void;
  /** Runs `work` in a session that sees the database at the read point. A failure there harms no other session. */
  readonly lend: <T>(work: (session: Session) => Promise<T>) => Promise<T>;
  readonly budget?: CutBudget;
}

/** Decides how to cut the tables whose rows are backed up, at the read point that `reader` sees. The cost is bounded for each table. */
export async function tablesToCut(
  reader: Session,
  relations: readonly Relation[],
  options: CutOptions,
): Promise<readonly TableToCut[]> {
  const shapes = await readShapes(reader, relations, options.product);
  const tables: TableToCut[] = [];
  const { budget = CUT_BUDGET } = options;
  const walkUntil = budget.now() + budget.allWalksMs;
  for (const relation of relations) {
    const shape = shapes.get(relation.oid);
    if (shape === undefined) continue;
    const { schema, table, configCondition } = relation;
    options.report({ database: reader.database, table: `${schema}.${table}` });
    const walkMs = Math.max(0, Math.min(budget.walkMs, walkUntil - budget.now()));
    tables.push({
      table: { database: reader.database, schema, table },
      condition: configCondition ?? undefined,
      ...(await lookAt(relation, shape, { ...options, budget: { ...budget, walkMs } })),
    });
  }
  return tables;
}

async function lookAt(
  relation: Relation,
  shape: TableShape,
  { product, chunkBytes, lend, budget }: CutOptions & { readonly budget: CutBudget },
): Promise<Pick<TableToCut, 'shape' | 'cut' | 'uncut'>> {
  const isRestricted = relation.configCondition !== null && relation.configCondition !== '';
  if (isRestricted) return { shape };
  const table = quoteTable(relation);
  const estimatedBytes = estimatedText(shape, product);
  if (hasBlocks(product, shape.isHeap)) {
    if (estimatedBytes <= chunkBytes) return { shape };
    const obstacle = await lend((reader) => planningError(reader, table));
    return { shape, ...defined({ uncut: obstacle }) };
  }
  // PostgreSQL reports the size of any table; YugabyteDB's sizes lag behind, and statistics may be missing.
  if (product === 'postgresql' && estimatedBytes <= chunkBytes) return { shape };
  if (shape.hashKey.length > 0) {
    if (estimatedBytes > chunkBytes) return { shape };
    const bytes = await lend((reader) => hashedBytes(reader, table, shape.hashKey, chunkBytes));
    return { shape: { ...shape, estimatedTextBytes: Math.max(shape.estimatedTextBytes, bytes) } };
  }
  if (shape.key !== undefined) {
    const keyed = { oid: shape.oid, table, key: shape.key, estimatedBytes };
    try {
      const { uncut, ...cut } = await lend((reader) => cutByKey(reader, keyed, chunkBytes, budget));
      return { shape, cut, ...defined({ uncut }) };
    } catch (error) {
      const state = refusedValue(error);
      if (state === undefined) throw error;
      return { shape, uncut: `the server doesn't take the values of its key back (SQLSTATE ${state})` };
    }
  }
  const large = await lend((reader) => exceedsChunk(reader, table, chunkBytes));
  return { shape, ...(large ? { uncut: NO_KEY } : {}) };
}

/**
 * Returns why the planner can't plan any query of a table; undefined where it can. The planner evaluates the expressions of the table's
 * indexes, and a function there may depend on a search_path (earthdistance's does; immich-app/immich#5630). A plain COPY needs no
 * planner, so such a table is read in one piece, as pg_dump does.
 */
async function planningError(reader: Session, table: string): Promise<string | undefined> {
  try {
    await givingLocksBack(reader, () =>
      reader.query(
        `plan to read ${table} by ranges`,
        `EXPLAIN SELECT FROM ONLY ${table} WHERE ctid >= '(0,0)'`,
      ),
    );
    return undefined;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'YSQL_FAILED' || error.transient) throw error;
    return `one of its indexes calls a function that fails under an empty search_path, so its rows are read in one piece (SQLSTATE ${sqlState(error.cause)})`;
  }
}

/** Returns the names of the tables that are larger than a chunk and can't be cut, as `session` sees them. */
export async function tablesWithoutKey(
  session: Session,
  selection: Selection,
  { product, chunkBytes }: Pick<CutOptions, 'product' | 'chunkBytes'>,
): Promise<readonly string[]> {
  const shapes = await readShapes(session, selection.data, product);
  const names: string[] = [];
  for (const relation of selection.data) {
    const shape = shapes.get(relation.oid);
    if (shape === undefined || hasBlocks(product, shape.isHeap)) continue;
    if (shape.hashKey.length > 0 || shape.key !== undefined) continue;
    if (await exceedsChunk(session, quoteTable(relation), chunkBytes)) names.push(tableName(relation));
  }
  return names;
}

/**
 * YugabyteDB orders such a table by a hidden column, `ybrowid`, which SQL can't name. A condition on `ybctid` other than equality filters the whole table
 * (issue 28024), so each chunk would read all of it. An index on other columns could cut the table, but a backup must not depend on an index that may miss
 * rows.
 */
const NO_KEY = 'it has no primary key to cut it by, so its rows are read in one piece; give it a primary key';
