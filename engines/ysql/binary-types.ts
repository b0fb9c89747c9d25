import type { YsqlSource } from '../../model/pipeline.ts';
import { dataEncoding } from './server/reader.ts';
import type { Product } from './server/server.ts';
import type { Session } from './server/session.ts';

/**
 * Types whose binary form has been the same in every release since PostgreSQL 10 and depends on no setting but the encoding of text: what their `_send`
 * function writes, `_recv` reads back as the same value. Not among them: arrays, composites and ranges (they hold the numbers of other types), domains, enums and
 * types of extensions (a type of another schema), `money` (how many digits it has is a setting), `xml` (it names its encoding), the `reg…` types (numbers of
 * objects), and text search types, whose lexemes a newer release may order anew.
 */
const EXACT: ReadonlySet<string> = new Set([
  ...['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'oid'],
  ...['text', 'varchar', 'bpchar', 'char', 'name', 'bytea', 'json', 'jsonb', 'uuid'],
  ...['date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval'],
  ...['bit', 'varbit', 'inet', 'cidr', 'macaddr', 'macaddr8', 'pg_lsn'],
  ...['point', 'lseg', 'box', 'path', 'polygon', 'line', 'circle'],
]);

/** Whether a row of columns of these types can travel in COPY's binary format. Pure. */
export function isExactInBinary(types: readonly string[]): boolean {
  return types.length > 0 && types.every((type) => EXACT.has(type));
}

/**
 * Whether this source's tables are read in the binary format where their columns allow it. Not where the plan forbids it; where the database isn't in UTF-8, for
 * text within binary rows is in the session's encoding; where the backup holds rows alone, for these go into tables that are there already, whose columns may
 * have other types; nor on a YugabyteDB that isn't told to: nobody has confirmed it there.
 */
export async function readsBinary(session: Session, source: YsqlSource, product: Product): Promise<boolean> {
  if (source.format === 'text' || source.contents === 'data') return false;
  if (product === 'yugabytedb' && source.format !== 'binary') return false;
  return (await dataEncoding(session)) === 'UTF8';
}
