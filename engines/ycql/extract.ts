import type { DataObject } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import type { Manifest } from '../../model/manifest.ts';
import { type CqlPageColumn, openPageFile } from '../../repository/backups/cql-pages.ts';
import { readData } from '../../repository/backups/data-pieces.ts';
import { readDataObjects } from '../../repository/backups/manifest.ts';
import { textOf } from '../../repository/backups/zstd-frames.ts';
import { backupFolder } from '../../repository/layout.ts';
import type { Store } from '../../repository/store.ts';
import { parseType } from './cql-type.ts';
import { elementsOf, type RawCell, rowsOf } from './rows.ts';
import { allColumns, type KeyspaceSchema, type TableSchema, type UserType, valueColumns } from './schema.ts';
import { type JsonValue, jsonOf } from './text.ts';
import { ttlSeconds } from './ttl.ts';

/** A decoded row: values by column. */
export interface ExtractedRow {
  readonly [column: string]: JsonValue;
}

/**
 * The rows of one table of a backup, decoded. With `times`, also `writetime(c)` in microseconds and `expires(c)` of each column. Throws
 * `EXTRACT_NO_TABLE`, `EXTRACT_OTHER_ENGINE`, `BACKUP_INCONSISTENT` (permanent), and the errors of damaged objects.
 */
export async function* extractRows(
  store: Store,
  manifest: Manifest,
  wanted: string,
  options: { readonly times: boolean },
): AsyncGenerator<ExtractedRow> {
  const { objects, types } = await findTable(store, manifest, wanted);
  for (const object of objects) {
    const body = await readData(store, backupFolder(manifest), object);
    const { header, pages } = await openPageFile(textOf(body));
    const cells = header.columns.map((column) => cellReader(column, types, options.times));
    for await (const page of pages) {
      for (const row of rowsOf(page, header.columns.length)) {
        yield Object.fromEntries(cells.flatMap((read, index) => read(row[index] ?? null, page.readAtMs)));
      }
    }
  }
}

/** Names of what `extractRows` yields for each row, in order. For a table without rows they follow from its definition. */
export async function extractedColumns(
  store: Store,
  manifest: Manifest,
  wanted: string,
  options: { readonly times: boolean },
): Promise<readonly string[]> {
  const { objects, types, table } = await findTable(store, manifest, wanted);
  const [first] = objects;
  if (first === undefined) {
    const times = options.times && !table.isCounter ? valueColumns(table) : [];
    return [
      ...allColumns(table).map(({ name }) => name),
      ...times.flatMap(({ name }) => [`writetime(${name})`, `expires(${name})`]),
    ];
  }
  const body = await readData(store, backupFolder(manifest), first);
  const { header } = await openPageFile(textOf(body));
  return header.columns.flatMap((column) =>
    cellReader(column, types, options.times)(null, 0).map(([name]) => name),
  );
}

interface FoundTable {
  readonly objects: readonly DataObject[];
  readonly types: readonly UserType[];
  readonly table: TableSchema;
}

async function findTable(store: Store, manifest: Manifest, wanted: string): Promise<FoundTable> {
  // The rows of other engines are text, which needs no extraction.
  if (manifest.engine !== 'ycql') {
    throw permanent(
      'EXTRACT_OTHER_ENGINE',
      `The backup ${manifest.backup} was made by engine ${manifest.engine}`,
      'Its rows are COPY text already: see RESTORE.md in the backup’s folder.',
    );
  }
  const database = manifest.databases.find(({ tables }) =>
    tables.some(({ schema, table }) => `${schema}.${table}` === wanted),
  );
  const schemaObject = database?.schemaObjects.find(({ key }) => key.endsWith('.json'));
  if (database === undefined || schemaObject === undefined) {
    const names = manifest.databases.flatMap(({ tables }) =>
      tables.map(({ schema, table }) => `${schema}.${table}`),
    );
    throw permanent(
      'EXTRACT_NO_TABLE',
      `The backup ${manifest.backup} holds no table ${wanted}`,
      `It holds ${names.join(', ')}.`,
    );
  }
  const body = await store.get(backupFolder(manifest) + schemaObject.key, { expect: schemaObject });
  const { types, tables, keyspace } = JSON.parse(Buffer.from(body).toString('utf8')) as KeyspaceSchema;
  const table = tables.find(({ name }) => `${keyspace}.${name}` === wanted);
  if (table === undefined) {
    throw permanent(
      'BACKUP_INCONSISTENT',
      `The backup lists the table ${wanted}, which its schema doesn't have`,
      'The manifest is damaged: take another backup.',
    );
  }
  const objects: DataObject[] = [];
  for await (const object of readDataObjects(store, manifest)) {
    if (`${object.table.schema}.${object.table.table}` === wanted) objects.push(object);
  }
  return { objects: objects.sort((one, other) => (one.key < other.key ? -1 : 1)), types, table };
}

type CellReader = (cell: RawCell, readAtMs: number) => readonly (readonly [string, JsonValue])[];

function cellReader(
  { name, type, kind }: CqlPageColumn,
  types: readonly UserType[],
  times: boolean,
): CellReader {
  if (kind === 'writetime') {
    return (cell) =>
      times ? [[`writetime(${name})`, perElement(cell, type, (time) => String(time.readBigInt64BE(0)))]] : [];
  }
  if (kind === 'ttl') {
    const expiry = (readAtMs: number) => (ttl: Buffer) =>
      new Date(readAtMs + ttlSeconds(ttl) * 1_000).toISOString();
    return (cell, readAtMs) =>
      times ? [[`expires(${name})`, perElement(cell, type, expiry(readAtMs))]] : [];
  }
  const parsed = parseType(type);
  return (cell) => [[name, jsonOf(parsed, cell, types)]];
}

function perElement(cell: RawCell, type: string, read: (cell: Buffer) => string): JsonValue {
  if (cell === null) return null;
  if (!type.startsWith('list<')) return read(cell);
  return elementsOf(cell).map((element) => (element === null ? null : read(element)));
}
