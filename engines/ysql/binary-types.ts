import type { YsqlSource } from '../../model/pipeline.ts';
import { dataEncoding } from './server/reader.ts';
import type { Product } from './server/server.ts';
import type { Session } from './server/session.ts';

/**
 * Types whose binary form has been the same in every release since PostgreSQL 10 and depends on no setting except the text encoding: `_recv` reads back exactly
 * the value that `_send` wrote.
 * The list excludes arrays, composites and ranges (they contain type OIDs), domains, enums, types of extensions (a type of another schema), `money` (a setting
 * decides its number of digits), `xml` (it names its encoding), the `reg…` types (they contain OIDs) and the text search types (a newer release may sort their
 * lexemes differently).
 */
const EXACT: ReadonlySet<string> = new Set([
  ...['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'oid'],
  ...['text', 'varchar', 'bpchar', 'char', 'name', 'bytea', 'json', 'jsonb', 'uuid'],
  ...['date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval'],
  ...['bit', 'varbit', 'inet', 'cidr', 'macaddr', 'macaddr8', 'pg_lsn'],
  ...['point', 'lseg', 'box', 'path', 'polygon', 'line', 'circle'],
]);

/** True when COPY's binary format can carry a row whose columns have these types. Pure. */
export function isExactInBinary(types: readonly string[]): boolean {
  return types.length > 0 && types.every((type) => EXACT.has(type));
}

/**
 * True when a backup of this source reads tables in the binary format, as far as their columns allow it. The answer is false in four cases: the plan forbids
 * it; the database isn't in UTF-8, because text in binary rows has the session's encoding; the backup holds rows alone, because its target tables exist already
 * and may have other column types; or the server is YugabyteDB and the plan doesn't ask for it, because nobody has confirmed the format there.
 */
export async function readsBinary(session: Session, source: YsqlSource, product: Product): Promise<boolean> {
  if (source.format === 'text' || source.contents === 'data') return false;
  if (product === 'yugabytedb' && source.format !== 'binary') return false;
  return (await dataEncoding(session)) === 'UTF8';
}
