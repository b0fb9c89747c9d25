import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { nameMatcher } from '../../engines/name-patterns.ts';
import { packTasks } from '../../engines/pack-tasks.ts';
import { cutTables, type TableToCut } from '../../engines/ysql/chunks.ts';
import {
  clientConfigs,
  libpqEnvironment,
  parseConnectionUrl,
  programArguments,
} from '../../engines/ysql/server/connection-url.ts';
import { dumpEntries, withoutEntries } from '../../engines/ysql/server/dump-script.ts';
import { quoteIdentifier, quoteLiteral } from '../../engines/ysql/server/identifiers.ts';
import { describeServer } from '../../engines/ysql/server/server.ts';
import { scriptParts } from '../../engines/ysql/server/sql-text.ts';
import { compressFrame, textOf } from '../../repository/backups/zstd-frames.ts';

const header = (name: string, type: string) =>
  `--\n-- Name: ${name}; Type: ${type}; Schema: public; Owner: me\n--\n\n`;

describe('taking a dump apart', () => {
  test('headers inside strings, dollar quotes, comments and names are text', () => {
    const script =
      `\\restrict abc\n\nSET a = 1;\n\n${header('f', 'FUNCTION')}CREATE FUNCTION f() AS $x$\n${header('no', 'TABLE')}\\connect y\n;$x$;\n\n` +
      `${header('t', 'TABLE')}CREATE TABLE "t;--" (a text DEFAULT '${header('no', 'INDEX')};', b text DEFAULT E'\\';');\n/* ; ${header('no', 'X')} /* */ */\n` +
      `SET default_tablespace = fast;\n\n${header('i', 'INDEX')}CREATE INDEX i;\n\n\\unrestrict abc\n`;
    const entries = dumpEntries(script);
    expect(entries.map(({ name, type, statements }) => [name, type, statements.length])).toEqual([
      ['f', 'FUNCTION', 1],
      ['t', 'TABLE', 1],
      ['i', 'INDEX', 1],
    ]);
    expect(entries[2]?.settings).toEqual(['SET default_tablespace = fast;']);
    const rest = withoutEntries(script, ({ type }) => type === 'TABLE');
    expect(rest).not.toContain('CREATE TABLE');
    expect(rest).not.toMatch(/^\\(un)?restrict/m);
    expect(rest).toContain('\\connect y');
    expect(rest).toContain('SET default_tablespace = fast;');
    expect(dumpEntries(rest).map(({ name }) => name)).toEqual(['f', 'i']);
  });

  test('a SQL-standard function body and a rule with several commands are one statement each', () => {
    const script =
      'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;' +
      'CREATE RULE r AS ON DELETE TO t DO (SELECT 1; SELECT 2);BEGIN;END;';
    expect([...scriptParts(script)].length).toBe(4);
  });

  test('no name or literal breaks out of its quotes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (name, literal) => {
        const statement = `SELECT ${quoteIdentifier(name)}, ${quoteLiteral(literal)}`;
        const parts = [...scriptParts(`${statement};\nSELECT 2;`)];
        expect(parts).toHaveLength(2);
        expect(parts[0]).toMatchObject({ statement: { text: `${statement};` } });
      }),
    );
  });
});

describe('cutting tables', () => {
  const table = (mainBytes: number, hashKey: readonly string[] = []): TableToCut => ({
    table: { database: 'd', schema: 's', table: `t${mainBytes}` },
    shape: {
      oid: '1',
      mainBytes,
      totalBytes: mainBytes,
      blockBytes: 8192,
      estimatedTextBytes: 0,
      isHeap: true,
      columns: ['"a"'],
      types: ['int4'],
      hashKey,
    },
    condition: undefined,
  });

  test('every block is in exactly one range, and the last range has no end', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e8 }),
        fc.integer({ min: 1e6, max: 1e8 }),
        fc.boolean(),
        (bytes, chunkBytes, stable) => {
          const chunks = cutTables([table(bytes)], 'postgresql', { chunkBytes, stable });
          if (chunks.length === 1 && chunks[0]?.range.kind === 'whole') return;
          const ranges = chunks.map(({ range }) => (range.kind === 'ctid' ? range : undefined));
          expect(ranges[0]?.from).toBe(0);
          expect(ranges.at(-1)?.to).toBeNull();
          expect(ranges.slice(1).map((range) => range?.from)).toEqual(
            ranges.slice(0, -1).map((range) => range?.to),
          );
        },
      ),
    );
  });

  test('stable cuts stay where they are while a table grows, of chunks no smaller than half of what was asked', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2e6, max: 1e8 }),
        fc.double({ min: 1, max: 1.9, noNaN: true }),
        fc.integer({ min: 1e6, max: 1e7 }),
        (bytes, growth, chunkBytes) => {
          const rangesOf = (size: number) =>
            cutTables([table(size)], 'postgresql', { chunkBytes, stable: true }).map(({ range }) => range);
          const [before, after] = [rangesOf(bytes), rangesOf(bytes * growth)];
          if (before.length > 1) expect(after).toEqual(expect.arrayContaining(before.slice(0, -1)));
          const [first] = before;
          if (first?.kind !== 'ctid' || first.to === null) return;
          expect(first.to * 8192 * 1.1).toBeGreaterThan(chunkBytes / 2 - 8192 * 1.1);
          expect(first.to * 8192 * 1.1).toBeLessThanOrEqual(chunkBytes);
        },
      ),
    );
  });

  test('where most of a row lies beside its blocks, stable cuts stay until that has doubled', () => {
    const rangesOf = (beside: number) => {
      const blocks = table(8e6);
      const toCut = { ...blocks, shape: { ...blocks.shape, totalBytes: 8e6 + beside } };
      return cutTables([toCut], 'postgresql', { chunkBytes: 4e6, stable: true }).map(({ range }) => range);
    };
    expect(rangesOf(1.1 * 8e6)).toEqual(rangesOf(1.6 * 8e6));
    expect(rangesOf(1.1 * 8e6).length).toBeLessThan(rangesOf(4 * 8e6).length);
  });

  test('hash ranges cover 0 to 65535 with closed bounds and no overlap', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1e6, max: 1e8 }), fc.boolean(), (bytes, stable) => {
        const chunks = cutTables([table(bytes, ['"a"'])], 'yugabytedb', { chunkBytes: 1e6, stable });
        const ranges = chunks.flatMap(({ range }) => (range.kind === 'hash' ? [range] : []));
        expect(ranges[0]?.from).toBe(0);
        expect(ranges.at(-1)?.to).toBe(65_535);
        expect(ranges.slice(1).map(({ from }) => from - 1)).toEqual(ranges.slice(0, -1).map(({ to }) => to));
      }),
      { numRuns: 20 },
    );
  });

  test('the largest table comes first, and ids are unique', () => {
    const chunks = cutTables([table(1000), table(5e6), table(2e6)], 'postgresql', {
      chunkBytes: 1e6,
      stable: false,
    });
    expect(chunks[0]?.table.table).toBe('t5000000');
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(chunks.length);
  });

  test('slots take the largest tasks first; their numbers keep the order of the chunks, and each chunk is in one of them', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3e6 }), { maxLength: 30 }), (sizes) => {
        const chunks = cutTables(
          sizes.map((bytes) => table(bytes)),
          'postgresql',
          { chunkBytes: 1e6, stable: false },
        );
        const tasks = packTasks(chunks, 1e6);
        const bytes = tasks.map((task) => task.chunks.reduce((sum, chunk) => sum + chunk.estimatedBytes, 0));
        expect(bytes).toEqual([...bytes].sort((one, other) => other - one));
        const numbered = [...tasks].sort((one, other) => one.index - other.index);
        expect(numbered.map(({ index }) => index)).toEqual([...numbered.keys()]);
        expect(numbered.flatMap((task) => task.chunks)).toEqual(chunks);
      }),
    );
  });
});

test('at level 1 too a frame looks back over the whole of its block', () => {
  const rows = randomBytes(700_000);
  expect(compressFrame(rows.subarray(0, 300_000), 1).length).toBeGreaterThan(300_000);
  const repeated = Buffer.concat([rows, rows.subarray(0, 300_000)]);
  expect(compressFrame(repeated, 1).length).toBeLessThan(750_000);
});

describe('connection URLs', () => {
  test('several hosts, escaped characters and parameters are understood', () => {
    const target = parseConnectionUrl(
      'postgresql://al%40ice:p%3A%2Fw@h1:5433,[::1]:5434/my%20db?sslmode=prefer',
    );
    expect(target).toMatchObject({
      hosts: [
        { host: 'h1', port: 5433 },
        { host: '::1', port: 5434 },
      ],
      user: 'al@ice',
      password: 'p:/w',
      database: 'my db',
    });
    expect(clientConfigs(target, 'x').map(({ host, ssl }) => [host, ssl !== false])).toEqual([
      ['h1', true],
      ['h1', false],
      ['::1', true],
      ['::1', false],
    ]);
    expect(libpqEnvironment(target)).toMatchObject({ PGPASSWORD: 'p:/w', PGSSLMODE: 'prefer' });
    expect(libpqEnvironment(target)).not.toHaveProperty('PGHOST');
    expect(programArguments(target, `a='b\\`, '--dbname')).toEqual([
      '--host=h1,::1',
      '--port=5433,5434',
      '--username=al@ice',
      String.raw`--dbname=dbname='a=\'b\\'`,
    ]);
  });

  test('parameters are decoded as libpq does it: a plus is a plus', () => {
    const { parameters, database } = parseConnectionUrl(
      'postgresql://u@h/a+b?options=-c%20search_path%3Da+b&sslmode=require&application_name=x%2By&user=+',
    );
    expect(parameters).toEqual({
      options: '-c search_path=a+b',
      sslmode: 'require',
      application_name: 'x+y',
      user: '+',
    });
    expect(database).toBe('a+b');
  });

  test.each([
    ['postgresql://u@/d?host=a,b&port=5433,5434', ['a:5433', 'b:5434']],
    ['postgresql://u@/d?host=a,b&port=5433', ['a:5433', 'b:5433']],
    ['postgresql://u@/d?host=::1&port=5433', ['::1:5433']],
    ['postgresql://u@a:1,b/d?port=5433', ['a:1', 'b:5433']],
    ['postgresql://u@%2Frun%2Fyb:5433/d', ['/run/yb:5433']],
    ['postgresql://u@[fe80::1%25eth0]:2/d', ['fe80::1%eth0:2']],
    ['yugabytedb://u@a/d', ['a:5433']],
  ])('%s leads to %j', (url, hosts) => {
    const found = parseConnectionUrl(url).hosts.map(({ host, port }) => `${host}:${port}`);
    expect(found).toEqual(hosts);
  });

  test.each([
    '',
    'mysql://h/d',
    'postgresql://u:secret@h:port/d',
    'postgresql://u:%zz@h/d',
    'postgresql://u:p@secret@h/d',
    'postgresql://u:12/secret@h/d',
    'postgresql://u@/d?host=a,b,c&port=1,2',
    'postgresql://u@h/d?options=%zz',
    'postgresql://u@h/d?options=%00',
    'postgresql://u@h/d?sslmode',
  ])('%j is refused', (url) => {
    expect(() => parseConnectionUrl(url)).toThrow(expect.objectContaining({ code: 'YSQL_BAD_URL' }));
    expect(() => parseConnectionUrl(url)).not.toThrow(/secret/);
  });
});

test('servers are told apart by their banner', () => {
  expect(
    describeServer('PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64', '15.12-YB-2025.1.0.0-b0', 150_012),
  ).toEqual({
    product: 'yugabytedb',
    version: '15.12-YB-2025.1.0.0-b0',
    major: 15,
  });
  expect(describeServer('PostgreSQL 16.3 (Debian) on x86_64', '16.3 (Debian)', 160_003)).toEqual({
    product: 'postgresql',
    version: '16.3',
    major: 16,
  });
});

test('patterns over names: excluded wins, empty means all', () => {
  const names = ['public.orders', 'public.tmp_1', 'audit.log', 'odd.a.b'];
  const matching = (include: readonly string[], exclude: readonly string[]) =>
    names.filter(nameMatcher({ include, exclude }).matches);
  expect(matching([], [])).toEqual(names);
  expect(matching(['public.*'], ['*.tmp_?'])).toEqual(['public.orders']);
  expect(matching(['odd.a?b', '*.LOG'], [])).toEqual(['odd.a.b']);
});

test('text of any size and cut comes back through zstd', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 8 }), async (blocks) => {
      const pieces = blocks.map((block) => compressFrame(block, 1));
      const text: Buffer[] = [];
      for await (const piece of textOf(Buffer.concat(pieces))) text.push(piece);
      expect(Buffer.concat(text).equals(Buffer.concat(blocks))).toBe(true);
    }),
    { numRuns: 30 },
  );
});
