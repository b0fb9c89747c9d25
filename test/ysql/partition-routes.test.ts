import { partitionRoutes } from '../../engines/ysql/restore/partition-routes.ts';
import { withColumns } from '../../engines/ysql/restore/reordered-columns.ts';
import { dumpEntries } from '../../engines/ysql/server/dump-script.ts';

function entry(type: string, name: string, text: string): string {
  return `--\n-- Name: ${name}; Type: ${type}; Schema: public; Owner: -\n--\n\n${text};\n\n`;
}

/** A table of these columns by the hash of `key`, with one partition. */
function routesOf(columns: string, key: string, before = ''): readonly (readonly [string, string])[] {
  const script =
    before +
    entry('TABLE', 'root', `CREATE TABLE public.root (\n    ${columns}\n)\nPARTITION BY HASH (${key})`) +
    entry('TABLE', 'leaf', `CREATE TABLE public.leaf (\n    ${columns}\n)`) +
    entry(
      'TABLE ATTACH',
      'leaf',
      'ALTER TABLE ONLY public.root ATTACH PARTITION public.leaf FOR VALUES WITH (modulus 1, remainder 0)',
    );
  return [...partitionRoutes(dumpEntries(script))].map(([leaf, { schema, table }]) => [
    leaf,
    `${schema}.${table}`,
  ]);
}

const INT_DOMAIN = entry(
  'DOMAIN',
  'd',
  'CREATE DOMAIN public.d AS integer\n\tCONSTRAINT c CHECK ((VALUE > public.f()))',
);
const ROUTED = [['public.leaf', 'public.root']];

test.each([
  ['an enum', 'e public.en NOT NULL, t text', 'e', ''],
  ['an array', 'e public.en[], t text', 'e', ''],
  ['a quoted column', '"E, (1" public.en, t text', '"E, (1"', ''],
  ['a second key', 'i integer, e public.en', 'i, e', ''],
  ['an expression', 'e public.en', "COALESCE(e, 'o'::public.en)", ''],
  ['an expression of a column', 'e public.en', '((e)::text)', ''],
  ['a function', 'i integer', 'public.f(i)', ''],
  ['an operator class', 'i integer', 'i public.own_ops', ''],
  ['a type of an extension', 'c public.citext', 'c', ''],
  ['a collation of a column', 't text COLLATE public.nd', 't', ''],
  ['a collation of the key', 't text', 't COLLATE public.nd', ''],
  [
    'a domain over an enum',
    'e public.de',
    'e',
    entry('DOMAIN', 'de', 'CREATE DOMAIN public.de AS public.en'),
  ],
])('rows of partitions by %s go through the table', (_, columns, key, before) => {
  expect(routesOf(columns, key, before)).toEqual(ROUTED);
});

test.each([
  [
    'built-in types',
    "i integer DEFAULT public.f() NOT NULL, n numeric(5,2), e public.en DEFAULT 'o'::public.en",
    'i, n',
    '',
  ],
  ['a built-in expression', 't text, e public.en', 'lower(t)', ''],
  ['a built-in collation', 't text COLLATE pg_catalog."C"', 't', ''],
  ['a domain over a built-in type', 'i public.d', 'i', INT_DOMAIN],
  [
    'a domain over such a domain',
    'i public.d2',
    'i',
    INT_DOMAIN + entry('DOMAIN', 'd2', 'CREATE DOMAIN public.d2 AS public.d DEFAULT public.f()'),
  ],
])('rows of partitions by %s go into them', (_, columns, key, before) => {
  expect(routesOf(columns, key, before)).toEqual([]);
});

test('a list by an enum is told by the order of its values; below it the hash counts', () => {
  const script =
    entry(
      'TABLE',
      'top',
      'CREATE TABLE public.top (\n    e public.en,\n    l public.en\n)\nPARTITION BY LIST (l)',
    ) +
    // As dumps of the PostgreSQL 11 line write it.
    entry(
      'TABLE',
      'mid',
      "CREATE TABLE public.mid PARTITION OF public.top FOR VALUES IN ('o') PARTITION BY HASH (e)",
    ) +
    entry(
      'TABLE',
      'leaf',
      'CREATE TABLE public.leaf PARTITION OF public.mid FOR VALUES WITH (modulus 1, remainder 0)',
    ) +
    entry('TABLE', 'plain', "CREATE TABLE public.plain PARTITION OF public.top FOR VALUES IN ('p')");
  expect([...partitionRoutes(dumpEntries(script))]).toEqual([
    ['public.leaf', { schema: 'public', table: 'mid' }],
  ]);
});

test('columns are put in another order whatever pieces the text comes in', async () => {
  const text = Buffer.from('1\ta\\tb\t\\N\n2\t\tä\\\\\n');
  for (let size = 1; size <= text.length; size += 1) {
    const pieces = async function* () {
      for (let at = 0; at < text.length; at += size) yield text.subarray(at, at + size);
    };
    const blocks = await Array.fromAsync(withColumns(pieces(), [2, 0, 1]));
    expect(Buffer.concat(blocks).toString()).toBe('\\N\t1\ta\\tb\nä\\\\\t2\t\n');
  }
});
