import fc from 'fast-check';
import { quoteLiteral } from '../../engines/ysql/server/identifiers.ts';

/** A type of key columns, and how values of it are made. */
interface KeyType {
  readonly type: string;
  readonly value: fc.Arbitrary<string>;
}

const smallText = fc.oneof(
  fc.string({
    unit: fc.constantFrom('a', 'b', 'B', 'é', 'É', 'z', 'ß', ' ', "'", '\\', '_', '0', '9'),
    maxLength: 5,
  }),
  fc.nat({ max: 99_999 }).map((number) => `user-${number.toString().padStart(6, '0')}`),
  fc.string({ unit: 'grapheme', maxLength: 4 }).map((text) => text.replaceAll('\0', '')),
);
const integer = fc.oneof(
  fc.integer({ min: -20, max: 20 }),
  fc.nat({ max: 1_000_000 }),
  fc.constantFrom(-2_147_483_648, 2_147_483_647),
);
const instant = fc
  .oneof(
    fc.integer({ min: 1_600_000_000, max: 1_700_000_000 }),
    fc.constantFrom(-2_000_000_000, 0, 4_000_000_000),
  )
  .map((seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`);

/** Types of which YugabyteDB takes columns into a primary key, and some that only look like others. */
const TYPES: readonly KeyType[] = [
  { type: 'int', value: integer.map(String) },
  {
    type: 'bigint',
    value: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), integer.map(BigInt)).map(String),
  },
  { type: 'smallint', value: fc.integer({ min: -300, max: 300 }).map(String) },
  { type: 'text', value: smallText },
  { type: 'text COLLATE "C"', value: smallText },
  { type: 'text COLLATE "en-x-icu"', value: smallText },
  { type: 'text COLLATE public.caseless', value: smallText },
  { type: 'varchar(40)', value: smallText },
  { type: 'char(40)', value: smallText },
  { type: 'uuid', value: fc.uuid() },
  {
    type: 'timestamptz',
    value: fc.oneof(instant, fc.constantFrom('infinity', '-infinity', '0044-03-15 12:00:00 BC')),
  },
  { type: 'timestamp(3)', value: instant.map((text) => text.replace('Z', '.123')) },
  { type: 'date', value: instant.map((text) => text.slice(0, 10)) },
  {
    type: 'numeric',
    value: fc.oneof(
      fc
        .tuple(integer, fc.constantFrom('', '.0', '.50', '.123456789'))
        .map(([whole, rest]) => `${whole}${rest}`),
      fc.constantFrom('NaN', '1e30', '-1e-30'),
    ),
  },
  {
    type: 'double precision',
    value: fc.oneof(fc.double().map(String), fc.constantFrom('NaN', 'Infinity', '-0')),
  },
  { type: 'boolean', value: fc.boolean().map(String) },
  {
    type: 'bytea',
    value: fc.uint8Array({ maxLength: 4 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
  },
  {
    type: 'inet',
    value: fc.tuple(fc.ipV4(), fc.integer({ min: 8, max: 32 })).map(([ip, bits]) => `${ip}/${bits}`),
  },
  { type: 'bit(5)', value: fc.integer({ min: 0, max: 31 }).map((bits) => bits.toString(2).padStart(5, '0')) },
  {
    type: 'interval',
    value: fc.integer({ min: -99, max: 99 }).map((days) => `${days} days ${days % 24} hours`),
  },
  { type: 'public.mood', value: fc.constantFrom('sad', 'so so', "o'k", 'happy') },
  { type: 'public.level', value: fc.integer({ min: 0, max: 50 }).map(String) },
];

/** What the types above need. */
export const KEY_TYPES_SCHEMA = `
  CREATE TYPE public.mood AS ENUM ('sad', 'so so', 'o''k', 'happy');
  CREATE DOMAIN public.positive AS int CHECK (value >= 0);
  CREATE DOMAIN public.level AS public.positive;
  CREATE COLLATION public.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`;

/** A table to be cut: its statements, and whether its columns descend. */
export interface RandomTable {
  readonly name: string;
  readonly create: string;
  /** For `pg_index.indoption` while the table is empty: PostgreSQL has no other way to a descending primary key. */
  readonly options: readonly number[];
  readonly rows: readonly string[];
}

/** As `pg_index.indoption` has it: descending, nulls first. */
const DESCENDING = 3;

/** `rows` gives how many; the key may be of one to three columns, each of any type, ascending or descending, and many rows may share its first values. */
export function randomTable(name: string, rows: number): fc.Arbitrary<RandomTable> {
  const column = fc.record({
    kind: fc.constantFrom(...TYPES),
    descending: fc.boolean(),
    few: fc.boolean(),
  });
  return fc.array(column, { minLength: 1, maxLength: 3 }).chain((columns) => {
    const values = columns.map(({ kind, few }) =>
      few && columns.length > 1
        ? fc.array(kind.value, { minLength: 1, maxLength: 3 }).chain((some) => fc.constantFrom(...some))
        : kind.value,
    );
    return fc.array(fc.tuple(...values), { minLength: rows, maxLength: rows }).map((keys) => ({
      name,
      create: `CREATE TABLE ${name} (${columns.map(({ kind }, index) => `"k ${index}" ${kind.type}`).join(', ')}, filling text, PRIMARY KEY (${columns.map((_, index) => `"k ${index}"`).join(', ')}))`,
      options: columns.map(({ descending }) => (descending ? DESCENDING : 0)),
      rows: keys.map(
        (key, index) =>
          `(${key.map((text) => quoteLiteral(text).trim()).join(', ')}, ${index % 7 === 0 ? 'NULL' : `repeat('x', ${(index % 13) * 10})`})`,
      ),
    }));
  });
}

/** The statements that make it, while it is empty. */
export function createStatements(table: RandomTable): readonly string[] {
  return [
    table.create,
    `COMMENT ON TABLE ${table.name} IS 'yb: range'`,
    `UPDATE pg_index SET indoption = '${table.options.join(' ')}' WHERE indrelid = '${table.name}'::regclass AND indisprimary`,
  ];
}

/** In a later session than the one that made the table, which remembers the key as it was. Rows whose keys are equal come once. */
export function insertStatement(table: RandomTable): string {
  return `INSERT INTO ${table.name} VALUES ${table.rows.join(', ')} ON CONFLICT DO NOTHING`;
}
