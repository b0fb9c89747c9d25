import type { ChunkSpec, TableId } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { type CutKey, readCutKeys } from './cut-keys.ts';
import type { TableCut } from './key-places.ts';
import type { Relation } from './server/catalog.ts';
import { quoteIdentifier } from './server/identifiers.ts';
import type { Product } from './server/server.ts';
import type { Session } from './server/session.ts';

/** What decides how a table is cut. */
export interface TableShape {
  readonly oid: string;
  /** Size of the rows in the main fork, and that size plus the TOAST table's. On YugabyteDB as far as the server reports it. */
  readonly mainBytes: number;
  readonly totalBytes: number;
  readonly blockBytes: number;
  /** Estimated from the planner's statistics; 0 where there are none. */
  readonly estimatedTextBytes: number;
  readonly isHeap: boolean;
  /** Quoted names, without dropped and generated columns (stored, or virtual as of PostgreSQL 18). */
  readonly columns: readonly string[];
  /** Type names of the columns as in `pg_catalog`; empty for a type of another schema. */
  readonly types: readonly string[];
  /** Quoted hash key of a hash-sharded YugabyteDB table, in order; empty otherwise. */
  readonly hashKey: readonly string[];
  /** The primary key whose ranges can cut the table. Absent when the table has none, or when the server hashes it. */
  readonly key?: CutKey;
}

/**
 * `pg_relation_size` returns the present size, not the size at the read point, so the last range of a table has no end. For PostgreSQL only
 * files that hold rows count: `pg_table_size` adds the free space map, the visibility map and the index of the TOAST table, which make 40
 * KiB for a table of ten rows.
 */
const SHAPES = (totalBytes: string) => `
  SELECT c.oid::text AS oid, coalesce(pg_relation_size(c.oid), 0)::float8 AS "mainBytes",
    ${totalBytes}::float8 AS "totalBytes",
    current_setting('block_size')::float8 AS "blockBytes",
    coalesce((SELECT amname = 'heap' FROM pg_catalog.pg_am WHERE oid = c.relam), true) AS "isHeap",
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
      AND NOT a.attisdropped AND coalesce(to_jsonb(a) ->> 'attgenerated', '') = '' ORDER BY a.attnum) AS columns,
    ARRAY(SELECT CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text ELSE '' END
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0
      AND NOT a.attisdropped AND coalesce(to_jsonb(a) ->> 'attgenerated', '') = '' ORDER BY a.attnum) AS types
  FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])`;

const TOTAL_BYTES: Readonly<Record<Product, string>> = {
  postgresql:
    '(coalesce(pg_relation_size(c.oid), 0) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0))',
  yugabytedb: 'coalesce(pg_table_size(c.oid), 0)',
};

/**
 * YugabyteDB reports only file sizes, which lag behind, so its statistics count too, as far as this role may see them. On PostgreSQL
 * statistics count only for tables so small that their number of blocks says too little.
 */
const ESTIMATES = `
  SELECT c.oid::text AS oid, greatest(c.reltuples, 0)::float8 * coalesce((SELECT sum(s.avg_width + 1) FROM pg_catalog.pg_stats s
    WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited), 0) AS bytes
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])`;

/** The first columns of the primary key, as many as YugabyteDB hashes. */
const HASH_KEYS = `
  SELECT i.indrelid::text AS oid, ARRAY(
      SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, position)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      WHERE k.position <= p.num_hash_key_columns ORDER BY k.position) AS columns
  FROM pg_catalog.pg_index i CROSS JOIN LATERAL yb_table_properties(i.indrelid) p
  WHERE i.indisprimary AND i.indrelid = ANY ($1::oid[]) AND NOT p.is_colocated AND p.num_hash_key_columns > 0`;

const HAS_TABLE_PROPERTIES = `SELECT to_regprocedure('yb_table_properties(oid)') IS NOT NULL AS known`;

/** Reads the shapes of these tables, by object id. */
export async function readShapes(
  session: Session,
  tables: readonly Relation[],
  product: Product,
): Promise<ReadonlyMap<string, TableShape>> {
  const oids = tables.map(({ oid }) => oid);
  const doing = `read the sizes of the tables of database "${session.database}"`;
  const rows = await session.query<Omit<TableShape, 'hashKey' | 'estimatedTextBytes'>>(
    doing,
    SHAPES(TOTAL_BYTES[product]),
    [oids],
  );
  const hashKeys = new Map<string, readonly string[]>();
  const estimates = new Map<string, number>();
  const withStatistics = product === 'yugabytedb' ? oids : rows.filter(isTiny).map(({ oid }) => oid);
  if (withStatistics.length > 0) {
    const sizes = await session.query<{ oid: string; bytes: number }>(doing, ESTIMATES, [withStatistics]);
    for (const { oid, bytes } of sizes) estimates.set(oid, bytes);
  }
  if (product === 'yugabytedb') {
    const [properties] = await session.query<{ known: boolean }>(doing, HAS_TABLE_PROPERTIES);
    const keys =
      properties?.known === true
        ? await session.query<{ oid: string; columns: string[] }>(doing, HASH_KEYS, [oids])
        : [];
    for (const { oid, columns } of keys) hashKeys.set(oid, columns.map(quoteIdentifier));
  }
  const withoutBlocks = rows.filter(({ oid, isHeap }) => !hasBlocks(product, isHeap) && !hashKeys.has(oid));
  const keys = await readCutKeys(
    session,
    withoutBlocks.map(({ oid }) => oid),
  );
  return new Map(
    rows.map((row) => {
      const key = keys.get(row.oid);
      return [
        row.oid,
        {
          ...row,
          columns: row.columns.map(quoteIdentifier),
          hashKey: hashKeys.get(row.oid) ?? [],
          estimatedTextBytes: estimates.get(row.oid) ?? 0,
          ...defined({ key }),
        },
      ];
    }),
  );
}

/** Up to this size the number of blocks says little about the text: one row takes a block, and so do a hundred. */
const TINY_BLOCKS = 4;

function isTiny({
  mainBytes,
  totalBytes,
  blockBytes,
}: Pick<TableShape, 'mainBytes' | 'totalBytes' | 'blockBytes'>): boolean {
  return mainBytes > 0 && mainBytes <= TINY_BLOCKS * blockBytes && totalBytes === mainBytes;
}

/** True when the server can read the table's rows by ranges of blocks. */
export function hasBlocks(product: Product, isHeap: boolean): boolean {
  return product === 'postgresql' && isHeap;
}

/** How much larger COPY text is than the table's files: measured between 0.7 (narrow rows) and 1.1; TOAST holds compressed data. */
const TEXT_PER_HEAP_BYTE = 1.1;
const TEXT_PER_TOAST_BYTE = 2;
/** The statistics count widths in memory; numbers and times are longer as text. */
const TEXT_PER_VALUE_BYTE = 1.5;
/** YugabyteDB's files are compressed, and hold no row headers. */
const TEXT_PER_SST_BYTE = 3;
const HASH_CODES = 65_536;

/** A table to be cut: its name, its shape from the catalogs, and the condition on its rows where an extension limits them. */
export interface TableToCut {
  readonly table: TableId;
  readonly shape: TableShape;
  readonly condition: string | undefined;
  /** Present when ranges of its key cut the table. */
  readonly cut?: TableCut;
  /** Why a table larger than a chunk is read in one piece; the manifest states this. */
  readonly uncut?: string;
  /** True when COPY reads its rows in the binary format. */
  readonly binary?: boolean;
}

/** How tables are cut. */
export interface CutSize {
  /** How much COPY text a chunk should have, bytes. */
  readonly chunkBytes: number;
  /**
   * True: the cuts stay where they are from backup to backup while a table grows, so that an unchanged range gives the bytes that it gave before. Chunks are
   * then smaller than `chunkBytes`, at least half of it. Ranges of a key move all the same.
   */
  readonly stable: boolean;
}

/** Cuts one table into ranges of about `chunkBytes` of text each. Every row is in exactly one range. Pure. */
export function cutTable(
  { table, shape, condition, cut, uncut }: TableToCut,
  product: Product,
  { chunkBytes, stable }: CutSize,
): readonly Omit<ChunkSpec, 'id'>[] {
  const estimatedBytes = estimatedText(shape, product);
  const pieces = Math.ceil(estimatedBytes / chunkBytes);
  const chunk = (range: ChunkSpec['range'], share: number) => ({
    table,
    columns: shape.columns,
    range,
    estimatedBytes: Math.ceil(estimatedBytes * share),
  });
  if (condition !== undefined && condition !== '') return [chunk({ kind: 'whole', condition }, 1)];
  if (cut !== undefined) {
    const keys = (shape.key ?? []).map(({ name: _, collate: __, ...column }) => column);
    return cut.rangeBytes.map((estimated, index) => ({
      table,
      columns: shape.columns,
      range:
        cut.places.length === 0
          ? { kind: 'whole' }
          : { kind: 'key', keys, from: cut.places[index - 1] ?? null, to: cut.places[index] ?? null },
      estimatedBytes: Math.ceil(estimated),
    }));
  }
  if (uncut !== undefined) return [chunk({ kind: 'whole' }, 1)];
  if (pieces > 1 && hasBlocks(product, shape.isHeap)) {
    const blocks = Math.ceil(shape.mainBytes / shape.blockBytes);
    const ranges = stable
      ? steps(blocks, blocksPerChunk(shape, estimatedBytes, chunkBytes))
      : cuts(blocks, pieces);
    return ranges.map(({ from, to }) =>
      chunk({ kind: 'ctid', from, to: to === blocks ? null : to }, (to - from) / blocks),
    );
  }
  if (pieces > 1 && shape.hashKey.length > 0) {
    return cuts(HASH_CODES, stable ? 2 ** Math.ceil(Math.log2(pieces)) : pieces).map(({ from, to }) =>
      chunk({ kind: 'hash', keys: shape.hashKey, from, to: to - 1 }, (to - from) / HASH_CODES),
    );
  }
  return [chunk({ kind: 'whole' }, 1)];
}

/** Bytes of COPY text, estimated from the catalogs. */
export function estimatedText(shape: TableShape, product: Product): number {
  if (product === 'yugabytedb')
    return Math.max(shape.totalBytes * TEXT_PER_SST_BYTE, shape.estimatedTextBytes);
  const toastBytes = Math.max(0, shape.totalBytes - shape.mainBytes);
  const byFiles = shape.mainBytes * TEXT_PER_HEAP_BYTE + toastBytes * TEXT_PER_TOAST_BYTE;
  const byStatistics = shape.estimatedTextBytes * TEXT_PER_VALUE_BYTE;
  return isTiny(shape) && byStatistics > 0 ? Math.min(byFiles, byStatistics) : byFiles;
}

/**
 * How many blocks of a table hold about `chunkBytes` of text. What else a row takes than its blocks (TOAST) is rounded up to a power of two, so that it must
 * double before the cuts move.
 */
function blocksPerChunk(
  { mainBytes, blockBytes }: TableShape,
  estimatedBytes: number,
  chunkBytes: number,
): number {
  const ofBlock = blockBytes * TEXT_PER_HEAP_BYTE;
  const moreThanBlocks = Math.max(1, (estimatedBytes * blockBytes) / mainBytes / ofBlock);
  return Math.max(1, Math.floor(chunkBytes / (ofBlock * 2 ** Math.ceil(Math.log2(moreThanBlocks)))));
}

interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** Divides [0, length) into parts of `step`, the last one perhaps shorter. */
function steps(length: number, step: number): readonly Stretch[] {
  return Array.from({ length: Math.ceil(length / step) }, (_, index) => ({
    from: index * step,
    to: Math.min(length, (index + 1) * step),
  }));
}

/** Divides [0, length) into at most `pieces` parts of about equal length, none of them empty. */
function cuts(length: number, pieces: number): readonly Stretch[] {
  const count = Math.max(1, Math.min(length, pieces));
  return Array.from({ length: count }, (_, index) => ({
    from: Math.floor((index * length) / count),
    to: Math.floor(((index + 1) * length) / count),
  }));
}

/** Cuts all tables, the largest first, which is the order in which a restore loads them. Ids are `t<table>-c<chunk>`. Pure. */
export function cutTables(
  tables: readonly TableToCut[],
  product: Product,
  size: CutSize,
): readonly ChunkSpec[] {
  const bySize = tables
    .map((table) => ({
      table,
      bytes:
        table.cut?.rangeBytes.reduce((sum, bytes) => sum + bytes, 0) ?? estimatedText(table.shape, product),
    }))
    .sort((a, b) => b.bytes - a.bytes);
  return bySize.flatMap(({ table }, tableIndex) =>
    cutTable(table, product, size).map((chunk, chunkIndex) => ({
      ...chunk,
      ...(table.binary === true ? { binary: { types: table.shape.types } } : {}),
      id: `t${padded(tableIndex)}-c${padded(chunkIndex)}`,
    })),
  );
}

function padded(index: number): string {
  return index.toString().padStart(5, '0');
}
