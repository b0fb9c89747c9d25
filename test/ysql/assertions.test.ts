import fc from 'fast-check';
import { MAX_ANSWER_ROWS } from '../../engines/engine.ts';
import { differenceInAnswer } from '../../engines/judge-assertion.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import type { Expectation } from '../../model/drill.ts';
import { query } from '../support/sql.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
} from './harness.ts';

describe('an answer', () => {
  const holds: [what: string, expect: Expectation, rows: (string | null)[][]][] = [
    ['a number whatever its text', { kind: 'value', value: 3 }, [['3.00']]],
    ['a truth value as the server writes it', { kind: 'value', value: true }, [['t']]],
    ['nothing', { kind: 'value', value: null }, [[null]]],
    ['text', { kind: 'value', value: 'paid' }, [['paid']]],
    ['a bound itself', { kind: 'range', min: 1, max: 1 }, [['1']]],
    ['an open range', { kind: 'range', max: 0 }, [['-7']]],
    [
      'rows in their order',
      {
        kind: 'rows',
        rows: [
          ['a', 1],
          ['b', null],
        ],
      },
      [
        ['a', '1'],
        ['b', null],
      ],
    ],
    ['no rows', { kind: 'rows', rows: [] }, []],
  ];
  test.each(holds)('%s is as expected', (_what, expected, rows) => {
    expect(differenceInAnswer(expected, rows)).toBeUndefined();
  });

  const differs: [what: string, expect: Expectation, rows: (string | null)[][], told: RegExp][] = [
    ['another value', { kind: 'value', value: 3 }, [['4']], /expected 3, and got 4/],
    ['nothing for zero', { kind: 'value', value: 0 }, [[null]], /got null/],
    ['empty text for zero', { kind: 'value', value: 0 }, [['']], /expected 0/],
    ['below the range', { kind: 'range', min: 1, max: 9 }, [['0']], /at least 1 and at most 9, and got 0/],
    ['text for a number', { kind: 'range', min: 1 }, [['many']], /got many/],
    ['nothing for a number', { kind: 'range', max: 1 }, [[null]], /got null/],
    ['no row', { kind: 'value', value: 1 }, [], /got no row/],
    ['several rows', { kind: 'value', value: 1 }, [['1'], ['1']], /2 rows of 1 column/],
    ['several columns', { kind: 'value', value: 1 }, [['1', '1']], /1 row of 2 columns/],
    ['another order', { kind: 'rows', rows: [['a'], ['b']] }, [['b'], ['a']], /row 1: expected \(a\)/],
    [
      'too many',
      { kind: 'rows', rows: [['a']] },
      Array(MAX_ANSWER_ROWS + 1).fill(['a']),
      /more than 1000 rows/,
    ],
    ['long text, cut', { kind: 'value', value: 1 }, [['x'.repeat(500)]], /x…$/],
  ];
  test.each(differs)('%s is told apart', (_what, expected, rows, told) => {
    expect(differenceInAnswer(expected, rows)).toMatch(told);
  });

  test('a range holds exactly the numbers between its bounds', () => {
    const numbers = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 });
    let tried = 0;
    fc.assert(
      fc.property(numbers, numbers, numbers, (one, other, value) => {
        tried += 1;
        const [min, max] = one < other ? [one, other] : [other, one];
        const difference = differenceInAnswer({ kind: 'range', min, max }, [[String(value)]]);
        expect(difference === undefined).toBe(min <= value && value <= max);
      }),
      { numRuns: 1_000 },
    );
    process.stdout.write(`ranges: ${tried} cases tried\n`);
  });
});

describe('asking a restored copy', () => {
  let server: TestServer;
  let repository: TestRepository;
  let ask: (statement: string, database?: string) => Promise<unknown>;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(server.url(), 'CREATE DATABASE books');
    await query(
      server.url('books'),
      `CREATE TABLE books (id int PRIMARY KEY, title text, sold bool, price numeric(9,2));
       INSERT INTO books VALUES (1, 'one', true, 1.50), (2, NULL, false, 20);
       INSERT INTO books SELECT n, 'more', true, 0 FROM generate_series(3, 5000) n;`,
    );
    const backup = await takeBackup(repository, server.url('books'));
    const context = restoreContext(backup, server.url(), { into: { books: 'copy' } });
    await runRestore(context);
    ask = async (statement, database) => ysqlEngine.restore.ask?.(context, database, statement);
  });
  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  test('gives values as the server writes them', async () => {
    const first = 'SELECT * FROM public.books WHERE id < 3 ORDER BY id;';
    expect(await ask(first)).toEqual([
      ['1', 'one', 't', '1.50'],
      ['2', null, 'f', '20.00'],
    ]);
    expect(await ask('SELECT current_database()', 'books')).toEqual([['copy']]);
  });

  test('takes no more rows than an assertion may list, and one', async () => {
    expect(await ask('TABLE public.books')).toHaveLength(MAX_ANSWER_ROWS + 1);
  });

  test.each([
    ['a table', 'SELECT 1 FROM public.missing', undefined],
    ['a column', 'SELECT author FROM public.books', undefined],
    ['a schema', 'SELECT 1 FROM archive.books', undefined],
    ['a function', 'SELECT public.missing()', undefined],
    ['a database', 'SELECT 1', 'films'],
  ])('says that the copy lacks %s', async (_what, statement, database) => {
    await expect(ask(statement, database)).rejects.toMatchObject({ code: 'ASSERTION_OBJECT_MISSING' });
  });

  test.each([
    ['writes', 'DELETE FROM public.books RETURNING 1'],
    ['writes by a function', "SELECT nextval('pg_class'::regclass), lo_create(0)"],
    ['is two statements', 'SELECT 1; DROP TABLE public.books'],
    ['closes the transaction', 'SELECT 1; COMMIT; DROP TABLE public.books'],
    ['is no SQL', 'SELEKT'],
    ['divides by zero', 'SELECT 1 / 0'],
  ])('a statement that %s is refused, and changes nothing', async (_what, statement) => {
    await expect(ask(statement)).rejects.toMatchObject({ code: 'YSQL_FAILED' });
    expect(await ask('SELECT count(*) FROM public.books')).toEqual([['5000']]);
  });
});
