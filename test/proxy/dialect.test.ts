import { readTimeOf, translate } from './dialect.ts';
import { statements } from './sql.ts';

const HASH = '(pg_catalog.hash_record_extended(ROW(';

test.each([
  ['SELECT 1', 'SELECT 1'],
  ["SELECT 'version()', $$yb_hash_code(1)$$", "SELECT 'version()', $$yb_hash_code(1)$$"],
  ['SELECT 1 -- version()\n/* version() /* nested */ */', 'SELECT 1'],
  ['SELECT "version"(), my.version', 'SELECT "version"(), my.version'],
  ['CREATE VIEW v AS SELECT version()', 'CREATE VIEW v AS SELECT version()'],
  ['SELECT yb_hash_code("a", f(b, 1)) FROM t', `SELECT ${HASH}"a", f(b, 1)), 0) & 65535)::int4 FROM t`],
  ['SET LOCAL yb_read_time = 5', 'SET LOCAL yb.read_time = 5'],
  ["SELECT current_setting('yb_read_time', true)", "SELECT current_setting('yb.read_time', true)"],
  ["UPDATE t SET yb_read_time = 'yb_read_time'", "UPDATE t SET yb_read_time = 'yb_read_time'"],
  ['COPY t FROM STDIN WITH (ROWS_PER_TRANSACTION 0)', 'COPY t FROM STDIN '],
  ['COPY t FROM STDIN WITH (ROWS_PER_TRANSACTION 0, FORMAT csv)', 'COPY t FROM STDIN WITH ( FORMAT csv)'],
  ['COPY t FROM STDIN WITH (FORMAT csv, ROWS_PER_TRANSACTION 9)', 'COPY t FROM STDIN WITH (FORMAT csv)'],
])('%s', (sql, translated) => {
  expect(translate(sql)).toBe(translated);
});

test.each([
  ['SET yb_read_time = 1795409246396401', 1795409246396401n],
  ["SET SESSION yb_read_time TO '1795409246396401'", 1795409246396401n],
  ["SET LOCAL yb_read_time TO '7353996273239658496 ht'", 1795409246396401n],
  ['SET yb_read_time TO DEFAULT', 0n],
  ["SET yb_read_time = '5 ms'", 'invalid'],
  ['SET search_path = yb_read_time', undefined],
])('%s names the instant %s', (sql, micros) => {
  const [statement] = statements(sql);
  expect(statement && readTimeOf(statement)?.micros).toBe(micros);
});

test('a text is cut at the semicolons between statements and at no other', () => {
  const sql = `SELECT ';' ; CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; DO $a$ BEGIN; END $a$;; SELECT E'\\';' -- ;
  `;
  expect(statements(sql).map((statement) => statement.sql.split(' ')[0])).toEqual([
    'SELECT',
    'CREATE',
    'DO',
    'SELECT',
  ]);
});
