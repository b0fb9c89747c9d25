import { BodyReader, type ColumnSpec, encodeError, int, type RowsResult, short, value } from './frames.ts';

/*
 * What YCQL does otherwise than Cassandra, as far as its documentation and source say (see docs/ycql.md): `partition_hash` instead
 * of ranges of tokens, `system.partitions`, the type JSONB with the code 0x80, transactional tables, which take no TTL, indexes that
 * cover, are unique or partial, `ttl` and `writetime` refused for collections, types that are missing. State lives as long as the
 * proxy.
 */

/** Stands in for `system` in the real server: of the same length, so that frames keep theirs. */
export const PARTITIONS_KEYSPACE = 'ybsyst';
export const JSONB = 0x80;
const INVALID = 0x2200;
const PART_OF_COLLECTION = 'User supplied timestamp is only allowed for replacing the whole collection';
/** The paging state of a first page without rows. */
export const FROM_THE_BEGINNING = 'holdfast: from the beginning';
/** Flags of an EXECUTE. */
const PAGE_SIZE = 0x04;
const PAGING_STATE = 0x08;
const TABLETS = 4;
const BIGINT = 0x02;
const INT = 0x09;
const BUCKETS = 65_536;

/** A statement that the proxy knows, by how it must be treated. */
export interface Statement {
  /** For the real server. */
  readonly text: string;
  /** The first two bound values are hashes. */
  readonly hashBounds: boolean;
  /** The first selected column is a hash. */
  readonly hashSelected: boolean;
  /** `keyspace.table` that it creates. */
  readonly creates?: string;
}

interface IndexExtras {
  readonly unique: boolean;
  readonly include: string | undefined;
  readonly predicate: string | undefined;
}

/** Which columns of a table are collections or user-defined types that aren't frozen. */
export type MultiCellColumns = (keyspace: string, table: string) => Promise<ReadonlySet<string>>;

export class Dialect {
  /** What was refused, for tests to look at. */
  readonly refused: string[] = [];
  readonly #jsonb = new Set<string>();
  readonly #transactional = new Set<string>();
  readonly #indexes = new Map<string, IndexExtras>();
  readonly #multiCell: MultiCellColumns;

  constructor(multiCell: MultiCellColumns) {
    this.#multiCell = multiCell;
  }

  /** The statement for the real server, or the body of the error that YCQL answers with. */
  async translate(text: string): Promise<Statement | { readonly error: Buffer }> {
    const problem = await this.#problemWith(text);
    if (problem !== undefined) {
      this.refused.push(`${problem}: ${text}`);
      return { error: encodeError(INVALID, `Invalid Request. ${problem}\n${text}\n (ql error -304)`) };
    }
    if (/^\s*CREATE TABLE/i.test(text)) return this.#createTable(text);
    if (/^\s*CREATE (UNIQUE )?INDEX/i.test(text)) return this.#createIndex(text);
    return {
      text: text
        .replaceAll(/\bpartition_hash\s*\(/g, 'token(')
        .replace(/\bsystem\.partitions\b/, `${PARTITIONS_KEYSPACE}.partitions`),
      hashBounds: /WHERE\s+partition_hash\(/.test(text),
      hashSelected: /^\s*SELECT\s+partition_hash\(/.test(text),
    };
  }

  async #problemWith(text: string): Promise<string | undefined> {
    const missing = /^\s*CREATE (?:TABLE|TYPE)[^;]*\b(tuple\s*<|ascii\b|duration\b|vector\s*<)/i.exec(text);
    if (missing !== null) return `Feature Not Supported: ${missing[1]}`;
    if (/\btoken\s*\(/.test(text)) return 'the engine must use partition_hash here';
    if (/^\s*SELECT/i.test(text)) {
      const asked = [...text.matchAll(/\b(ttl|writetime)\("((?:[^"]|"")*)"\)/g)];
      const place = /FROM "?(\w+)"?\."?(\w+)"?/.exec(text);
      if (asked.length === 0 || place === null) return undefined;
      const columns = await this.#multiCell(place[1] ?? '', place[2] ?? '');
      const wrong = asked.find(([, , name = '']) => columns.has(name.replaceAll('""', '"')));
      return wrong === undefined
        ? undefined
        : `Invalid Argument for ${wrong[1]}: ${wrong[2]} is a collection`;
    }
    if (/^\s*DELETE .*\[\?\].*USING TIMESTAMP/is.test(text)) return PART_OF_COLLECTION;
    const written = /^\s*(?:INSERT INTO|UPDATE) "?(\w+)"?\."?(\w+)"?/i.exec(text);
    if (written === null) return undefined;
    if (/\bTTL \?/.test(text) && this.#transactional.has(`${written[1]}.${written[2]}`)) {
      return 'Using clause is not allowed on a table with transactions: TTL';
    }
    if (/USING TIMESTAMP/.test(text) && /[+-] \?|\[\?\]/.test(text)) return PART_OF_COLLECTION;
    return undefined;
  }

  #createTable(text: string): Statement {
    const [, keyspace = '', table = ''] =
      /CREATE TABLE (?:IF NOT EXISTS )?"?(\w+)"?\."?(\w+)"?/i.exec(text) ?? [];
    const name = `${keyspace}.${table}`;
    for (const [, quoted, plain] of text.matchAll(/(?:"((?:[^"]|"")+)"|\b(\w+))\s+jsonb\b/gi)) {
      this.#jsonb.add(`${name}.${quoted?.replaceAll('""', '"') ?? plain}`);
    }
    if (/transactions\s*=\s*\{\s*'enabled'\s*:\s*'?true'?\s*\}/i.test(text)) this.#transactional.add(name);
    const clauses = /(\bWITH\b|\bAND\b)\s+(transactions\s*=\s*\{[^}]*\}|tablets\s*=\s*\d+)/gi;
    let plain = text.replaceAll(/\bjsonb\b/gi, 'text').replaceAll(clauses, '$1 @gone');
    plain = plain
      .replaceAll(/\bAND @gone/gi, '')
      .replace(/\bWITH @gone\s+AND/i, 'WITH')
      .replace(/\bWITH @gone/i, '');
    return { text: plain, hashBounds: false, hashSelected: false, creates: name };
  }

  #createIndex(text: string): Statement {
    const [, quoted, bare] = /INDEX (?:IF NOT EXISTS )?(?:"([^"]+)"|(\w+))/i.exec(text) ?? [];
    const include = /INCLUDE \(([^)]*)\)/i.exec(text)?.[1]?.replaceAll('"', '');
    const predicate = /\) WHERE (.*?)(?= WITH |$)/i.exec(text)?.[1];
    this.#indexes.set(quoted ?? bare ?? '', { unique: /CREATE UNIQUE/i.test(text), include, predicate });
    const plain = text
      .replace(/CREATE UNIQUE/i, 'CREATE')
      .replace(/ INCLUDE \([^)]*\)/i, '')
      .replace(/\) WHERE .*$/i, ')')
      .replace(/ WITH transactions.*$/i, '');
    return { text: plain, hashBounds: false, hashSelected: false };
  }

  /**
   * The values of an EXECUTE: hashes become the tokens that they stand for. `isFirst`: it goes on from no other page; one that goes on
   * from the empty first page begins at the real server's beginning.
   */
  translateExecute(body: Buffer): { readonly body: Buffer; readonly isFirst: boolean } {
    const reader = new BodyReader(body);
    const id = reader.shortBytes();
    const consistency = reader.short();
    const flags = reader.byte();
    const count = reader.short();
    const bounds = [0, 1].map((index) => {
      const hash = reader.value()?.readInt32BE(0) ?? 0;
      return int64(
        index === 0 ? firstToken(hash) : hash === BUCKETS - 1 ? (1n << 63n) - 1n : firstToken(hash + 1) - 1n,
      );
    });
    const values = Array.from({ length: count - 2 }, () => value(reader.value()));
    const pageSize = (flags & PAGE_SIZE) === 0 ? [] : [int(reader.int())];
    const state = (flags & PAGING_STATE) === 0 ? null : reader.value();
    const isBeginning = state?.toString() === FROM_THE_BEGINNING;
    const paging = state === null || isBeginning ? [] : [value(state)];
    const kept = isBeginning ? flags & ~PAGING_STATE : flags;
    const head = [short(id.length), id, short(consistency), Buffer.from([kept]), short(count)];
    return {
      body: Buffer.concat([...head, ...bounds.map(value), ...values, ...pageSize, ...paging, reader.rest()]),
      isFirst: state === null && pageSize.length > 0,
    };
  }

  /** The rows as YCQL would give them. */
  translateRows(result: RowsResult, statement: Statement | undefined): RowsResult {
    const columns = result.columns.map((column, index) => this.#columnOf(column, statement, index));
    let { rows } = result;
    if (statement?.hashSelected) rows = rows.map(([first, ...others]) => [hashOf(first ?? null), ...others]);
    const ttls = new Set(columns.flatMap(({ name }, index) => (isTtl(name) ? [index] : [])));
    if (ttls.size > 0) {
      rows = rows.map((row) => row.map((cell, index) => (ttls.has(index) ? widened(cell) : cell)));
    }
    const [place] = columns;
    if (place?.keyspace === 'system_schema')
      return this.#systemRows(place.table, { ...result, columns, rows });
    return { ...result, columns, rows };
  }

  /**
   * Text that is JSONB to YCQL has its code; the stand-in for `system` its name. The built-ins have the types that
   * src/yb/bfql/directory.cc of YugabyteDB gives them: `ttl` INT64 (Cassandra: int), `partition_hash` INT32 (a token is a bigint).
   */
  #columnOf(column: ColumnSpec, statement: Statement | undefined, index: number): ColumnSpec {
    if (column.keyspace === PARTITIONS_KEYSPACE) return { ...column, keyspace: 'system' };
    const { keyspace, table, name } = column;
    if (isTtl(name)) return { ...column, type: short(BIGINT) };
    if (statement?.hashSelected === true && index === 0) return { ...column, type: short(INT) };
    return this.#jsonb.has(`${keyspace}.${table}.${name}`) ? { ...column, type: short(JSONB) } : column;
  }

  #systemRows(table: string, result: RowsResult): RowsResult {
    const at = (name: string) => result.columns.findIndex((column) => column.name === name);
    const text = (row: readonly (Buffer | null)[], name: string) => row[at(name)]?.toString() ?? '';
    if (table === 'columns') {
      const place = at('type');
      const rows = result.rows.map((row) => {
        const name = ['keyspace_name', 'table_name', 'column_name'].map((each) => text(row, each)).join('.');
        return row.map((cell, index) =>
          index !== place ? cell : this.#jsonb.has(name) ? Buffer.from('jsonb') : unquoted(cell),
        );
      });
      return { ...result, rows };
    }
    if (table === 'types') {
      const place = at('field_types');
      const rows = result.rows.map((row) =>
        row.map((cell, index) => (index === place ? mapElements(cell, unquoted) : cell)),
      );
      return { ...result, rows };
    }
    if (table === 'tables') {
      return withColumn(result, 'transactions', TEXT_MAP, (row) => {
        const enabled = this.#transactional.has(`${text(row, 'keyspace_name')}.${text(row, 'table_name')}`);
        return textMap({ enabled: String(enabled) });
      });
    }
    if (table !== 'indexes') return result;
    const extrasOf = (row: readonly (Buffer | null)[]) => this.#indexes.get(text(row, 'index_name'));
    const options = at('options');
    const rows = result.rows.map((row) =>
      row.map((cell, index) => {
        const extras = extrasOf(row);
        if (index !== options || extras === undefined || cell === null) return cell;
        const { include, predicate } = extras;
        return addToMap(mapElements(cell, unquoted, 2) ?? cell, {
          ...(include === undefined ? {} : { include }),
          ...(predicate === undefined ? {} : { predicate }),
        });
      }),
    );
    return withColumn({ ...result, rows }, 'is_unique', short(0x04), (row) =>
      Buffer.from([extrasOf(row)?.unique ? 1 : 0]),
    );
  }
}

/** Four tablets of about equal size, each led by the one node there is. */
export function tabletsOf(): readonly { readonly start: Buffer; readonly end: Buffer }[] {
  const bound = (hash: number) => (hash === 0 || hash === BUCKETS ? Buffer.alloc(0) : short(hash));
  return Array.from({ length: TABLETS }, (_, index) => ({
    start: bound((index * BUCKETS) / TABLETS),
    end: bound(((index + 1) * BUCKETS) / TABLETS),
  }));
}

const TEXT_MAP = Buffer.concat([short(0x21), short(0x0d), short(0x0d)]);

function withColumn(
  result: RowsResult,
  name: string,
  type: Buffer,
  cell: (row: readonly (Buffer | null)[]) => Buffer,
): RowsResult {
  const [first] = result.columns;
  if (first === undefined || result.columns.some((column) => column.name === name)) return result;
  const added = { keyspace: first.keyspace, table: first.table, name, type };
  return {
    ...result,
    columns: [...result.columns, added],
    rows: result.rows.map((row) => [...row, cell(row)]),
  };
}

function textMap(entries: Readonly<Record<string, string>>): Buffer {
  return addToMap(int(0), entries);
}

function addToMap(map: Buffer, entries: Readonly<Record<string, string>>): Buffer {
  const more = Object.entries(entries)
    .flat()
    .map((text) => value(Buffer.from(text)));
  return Buffer.concat([int(map.readInt32BE(0) + Object.keys(entries).length), map.subarray(4), ...more]);
}

/**
 * Names as YugabyteDB has them in types and index targets: without quotes (QLType::ToString in src/yb/common/ql_type.cc,
 * src/yb/master/yql_indexes_vtable.cc).
 */
function unquoted(cell: Buffer | null): Buffer | null {
  if (cell === null) return null;
  return Buffer.from(
    cell.toString().replaceAll(/"((?:[^"]|"")*)"/g, (_, name: string) => name.replaceAll('""', '"')),
  );
}

/** Each element of a list, or with `pairs` 2 each key and value of a map. */
function mapElements(
  cell: Buffer | null,
  change: (element: Buffer | null) => Buffer | null,
  pairs = 1,
): Buffer | null {
  if (cell === null) return null;
  const reader = new BodyReader(cell);
  const count = reader.int();
  const elements = Array.from({ length: count * pairs }, () => value(change(reader.value())));
  return Buffer.concat([int(count), ...elements]);
}

/** A column that was selected as `ttl(…)`. */
function isTtl(name: string): boolean {
  return /^ttl\(.*\)$/s.test(name);
}

/** Four bytes as eight. */
function widened(cell: Buffer | null): Buffer | null {
  return cell === null ? null : int64(BigInt(cell.readInt32BE(0)));
}

function hashOf(token: Buffer | null): Buffer | null {
  return token === null ? null : int(Number(token.readBigInt64BE(0) >> 48n) + BUCKETS / 2);
}

function firstToken(hash: number): bigint {
  return BigInt.asIntN(64, BigInt(hash ^ 0x8000) << 48n);
}

function int64(number: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(number);
  return bytes;
}
