import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { neverRestored, schemaScripts } from '../../engines/ysql/dump-sections.ts';
import { archiveName } from '../../engines/ysql/server/archive-names.ts';
import {
  outlineDump,
  readDump,
  withoutEntries,
  withQuotedNames,
} from '../../engines/ysql/server/dump-script.ts';
import { DUMP_UNREADABLE, scriptParts } from '../../engines/ysql/server/sql-text.ts';
import { readsBroken, runHostile } from './hostile/campaign.ts';
import { CANARY } from './hostile/names.ts';
import { startRealRestores } from './hostile/real.ts';
import { hostileSchema } from './hostile/schema.ts';
import { written } from './hostile/written.ts';

const header = (name: string, type: string, owner = 'me') =>
  `--\n-- Name: ${name}; Type: ${type}; Schema: public; Owner: ${owner}\n--\n\n`;
const texts = (script: string) => readDump(script).steps.map(({ statement }) => statement.text);
const refused = expect.objectContaining({ code: DUMP_UNREADABLE, transient: false });

test('a script whose last statement has no semicolon ends', () => {
  expect([...scriptParts('SELECT 1;\nSELECT 2\n')].length).toBe(2);
  expect(() => readDump('SELECT 1;\nSELECT 2\n')).toThrow(refused);
});

test.each([
  ["SELECT 'a;\n", 'a string'],
  ["SELECT E'a\\';\n", 'an escaped string'],
  ['CREATE TABLE "a;\n', 'a name'],
  ['DO $x$ a; $y$;', 'a dollar quote'],
  ['/* /* */ SELECT 1;', 'a comment'],
])('%j is refused: %s never ends', (script) => {
  expect(() => [...scriptParts(script)]).toThrow(refused);
});

test.each([
  ['\\! touch pwned'],
  ['\\copy t from x'],
  ['\\i other.sql'],
  ['\\set x `date`'],
  ['\\if `date`'],
  ['\\gexec'],
  ['\\connect x `y`'],
  ['\\endif'],
  ['\\if :unknown'],
  ['\\if true'],
])('the command %s is refused by name', (command) => {
  const script = `SELECT 1;\n${command}\nSELECT 2;\n`;
  expect(() => readDump(script)).toThrow(refused);
  expect(() => readDump(script)).toThrow(/line \d/);
});

test('a command within a statement is refused, whatever stands before it', () => {
  expect(() => readDump('CREATE TABLE x\n\\! touch pwned\n;')).toThrow(refused);
  expect(() => readDump('SELECT 1 \\gexec\n')).toThrow(refused);
  expect(() => readDump('SELECT 1 \\gset\n')).toThrow(refused);
});

test('conditions of ysql_dump are followed: its own switches, questions after roles, and what follows \\connect is of no object', () => {
  const role = "SELECT EXISTS(SELECT 1 FROM pg_roles WHERE rolname = 'r') AS role_exists \\gset\n";
  const script =
    '\\restrict k\nSET yb_binary_restore = true;\n\\unrestrict k\n\\if :{?use_roles}\n\\else\n\\set use_roles true\n\\endif\n\\restrict k\n' +
    `--\n-- Name: d; Type: DATABASE; Schema: -; Owner: o\n--\n\nCREATE DATABASE d;\n\n\\unrestrict k\n\\connect d\n\\restrict k\nSET row_security = off;\n\n` +
    `${header('t', 'TABLE')}CREATE TABLE public.t ();\n\n\\if :use_roles\n${role}\\if :role_exists\n    ALTER TABLE public.t OWNER TO r;\n\\else\n    \\echo 'Skipping:' "r\n;x"\n\\endif\n\\endif\n`;
  const { entries, steps } = readDump(script);
  expect(entries.map(({ type, statements }) => [type, statements.map(({ text }) => text)])).toEqual([
    ['DATABASE', ['CREATE DATABASE d;']],
    ['TABLE', ['CREATE TABLE public.t ();', 'ALTER TABLE public.t OWNER TO r;']],
  ]);
  expect(steps.map(({ entry }) => entry?.type)).toEqual([undefined, 'DATABASE', undefined, 'TABLE', 'TABLE']);
  const kept = withoutEntries(script, ({ type }) => type === 'DATABASE');
  expect(kept).not.toMatch(/\\|role_exists|DATABASE d/);
  expect(texts(kept)).toEqual(texts(script).filter((text) => text !== 'CREATE DATABASE d;'));
});

test('an outline of a script is the script, and keeps no token of it: those of 12,000 tables take ten times as much memory as their text', () => {
  const script =
    `SET standard_conforming_strings = off;\n${header('t', 'TABLE')}CREATE TABLE public."T ""1" (\n  id bigint DEFAULT 1.5, -- a comment\n  "a;b" text DEFAULT 'x\\'y' /* another */\n);\n\n` +
    `${header('f', 'FUNCTION')}CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;\nALTER FUNCTION f() OWNER TO me;\n\n` +
    `${header('g', 'TABLEGROUP')}CREATE TABLEGROUP my group;\n\n${header('t k', 'CONSTRAINT')}ALTER TABLE ONLY t ADD CONSTRAINT a b UNIQUE USING INDEX a b;\nDO $x$ a;b $x$;\n`;
  const [whole, outline] = [readDump(script), outlineDump(script)];
  const told = ({ entries, steps, shell, repairs }: typeof whole) => ({
    entries: entries.map(({ statements, ...rest }) => ({ ...rest, statements: statements.map(plain) })),
    steps: steps.map(({ statement, entry }) => [plain(statement), entry?.name]),
    shell,
    repairs,
  });
  const plain = ({ start, end, text, endedBy, tokens }: (typeof whole.steps)[number]['statement']) => ({
    ...{ start, end, text, endedBy },
    // The text says `on`, since its literals are written for that.
    tokens: tokens.map(({ kind, text: token }) => `${kind} ${token}`.replace(/^word off$/, 'word on')),
  });
  expect(told(outline)).toEqual(told(whole));
  expect(whole.steps.length).toBeGreaterThan(5);
  for (const { statement } of outline.steps) expect(Object.keys(statement)).not.toContain('tokens');
});

test('the encoding that pg_dump 15.18 sets before it connects to a name which is not plain ASCII is followed, and no other', () => {
  const script = `\\encoding SQL_ASCII\n\\connect -reuse-previous=on "dbname='my-db'"\nSELECT 1;\n`;
  expect(texts(script)).toEqual(['SELECT 1;']);
  expect(() => readDump('\\encoding LATIN1\n')).toThrow(refused);
});

test('roles of ysql_dumpall that ask first whether they exist are created', () => {
  const script =
    '\\if :{?ignore_existing_roles}\n\\else\n\\set ignore_existing_roles false\n\\endif\n\\set role_exists false\n\\if :ignore_existing_roles\n' +
    "    SELECT EXISTS(SELECT 1 FROM pg_roles WHERE rolname = 'r') AS role_exists \\gset\n\\endif\n\\if :role_exists\n    \\echo 'Role already exists:' r\n\\else\n    CREATE ROLE r;\n    ALTER ROLE r WITH LOGIN;\n\\endif\n";
  expect(texts(script)).toEqual(['CREATE ROLE r;', 'ALTER ROLE r WITH LOGIN;']);
  expect(texts(withoutEntries(script, () => false))).toEqual(['CREATE ROLE r;', 'ALTER ROLE r WITH LOGIN;']);
});

test('names that the program leaves bare get their quotes, and what only looks like one stays', () => {
  const constraint = 'x\n\\! touch pwned\n';
  const script =
    `${header('t c', 'CONSTRAINT')}CREATE UNIQUE INDEX "${constraint}" ON public.t USING lsm (a HASH);\n\n` +
    `ALTER TABLE ONLY public.t\n    ADD CONSTRAINT "${constraint}" UNIQUE USING INDEX ${constraint};\n\n` +
    `--\n-- Name: My Group; Type: TABLEGROUP; Schema: -; Owner: o\n--\n\nCREATE TABLEGROUP My Group;\n\n` +
    `${header('u', 'TABLE')}CREATE TABLE public.u (tablegroup text)\nTABLEGROUP My Group;\n\n` +
    `${header('f', 'FUNCTION')}CREATE FUNCTION public.f() AS $$ ALTER TABLE a ADD CONSTRAINT b UNIQUE USING INDEX b $$;\n`;
  expect(texts(script)).toEqual([
    `CREATE UNIQUE INDEX "${constraint}" ON public.t USING lsm (a HASH);`,
    `ALTER TABLE ONLY public.t\n    ADD CONSTRAINT "${constraint}" UNIQUE USING INDEX "${constraint}";`,
    'CREATE TABLEGROUP "My Group";',
    'CREATE TABLE public.u (tablegroup text)\nTABLEGROUP "My Group";',
    'CREATE FUNCTION public.f() AS $$ ALTER TABLE a ADD CONSTRAINT b UNIQUE USING INDEX b $$;',
  ]);
  expect(texts(withQuotedNames(script))).toEqual(texts(script));
  expect(withQuotedNames(withQuotedNames(script))).toBe(withQuotedNames(script));
});

test('an argument or a function may be called begin', () => {
  expect(
    texts('CREATE FUNCTION s.begin(begin integer) RETURNS int LANGUAGE sql AS $$ $$;\nSELECT 1;'),
  ).toHaveLength(2);
});

test('an owner that looks like a header does not make a table a database, and what stays doubtful is refused', () => {
  const owner = 'o; Type: DATABASE; Schema: -; Owner: p';
  const [table] = readDump(`${header('t', 'TABLE', owner)}CREATE TABLE public.t ();\n`).entries;
  expect(table).toMatchObject({ type: 'TABLE', name: 't', schema: 'public' });
  const doubtful = `--\n-- Name: a; Type: AGGREGATE; Schema: s; Owner: o; Type: OPERATOR; Schema: s; Owner: o\n--\n\nCREATE CAST s;\n`;
  expect(() => readDump(doubtful)).toThrow(refused);
});

test('sections are kept without statistics of the planner and without those of excluded tables', () => {
  const statistics = `--\n-- Statistics for Name: t; Type: STATISTICS DATA; Schema: public; Owner: -\n--\n\nSELECT * FROM pg_catalog.pg_restore_relation_stats('version', '1'::integer);\n\n`;
  const post =
    `${header('t t_fk', 'FK CONSTRAINT')}ALTER TABLE ONLY public.t ADD CONSTRAINT t_fk FOREIGN KEY (a) REFERENCES public.u(a);\n\n${statistics}` +
    `${header('st', 'STATISTICS')}CREATE STATISTICS public.st (dependencies) ON a, b FROM public.gone;\n\n` +
    `${header('STATISTICS st', 'COMMENT')}COMMENT ON STATISTICS public.st IS 'x';\n\n` +
    `${header('st2', 'STATISTICS')}CREATE STATISTICS public.st2 (dependencies) ON a, b FROM public.t;\n`;
  const gone = {
    ...{
      oid: '1',
      schema: 'public',
      table: 'gone',
      kind: 'r' as const,
      extension: null,
      configCondition: null,
    },
    ...{ readable: true, filtered: false, hollow: false, parents: [] },
  };
  const { postData } = schemaScripts('', post, { excluded: [gone] });
  expect(
    readDump(postData).entries.map(({ type, name, statements }) => `${type} ${name}: ${statements.length}`),
  ).toEqual(['FK CONSTRAINT t t_fk: 1', 'STATISTICS st2: 1']);
  expect(postData).not.toContain('pg_restore_relation_stats');
});

test('the publication of an archive of changes is left out with its tables, and an application’s own stays', () => {
  const own = archiveName('orders', 'shop');
  const publication = (name: string) =>
    `${header(name, 'PUBLICATION')}CREATE PUBLICATION ${name};\n\n${header(`${name} t`, 'PUBLICATION TABLE')}ALTER PUBLICATION ${name} ADD TABLE ONLY public.t;\n\n`;
  const post = publication(own) + publication('holdfast_reports') + publication(`${own}x`);
  const { postData } = schemaScripts('', post, { excluded: [] });
  const names = readDump(postData).entries.map(({ name }) => name);
  expect(names).toEqual(['holdfast_reports', 'holdfast_reports t', `${own}x`, `${own}x t`]);
  // Backups of before have it.
  expect(
    readDump(post)
      .entries.filter((entry) => !neverRestored([])(entry))
      .map(({ name }) => name),
  ).toEqual(names);
});

describe('whatever a script holds', () => {
  const pieces = fc.constantFrom(
    ...[
      "'",
      '"',
      '$$',
      '$a$',
      '/*',
      '*/',
      '--',
      '\n',
      '\\',
      '\\if :use_roles\n',
      '\\endif\n',
      '\\gset\n',
      ';',
      '(',
      ')',
    ],
    ...[
      'CREATE FUNCTION f() BEGIN ATOMIC',
      'END',
      'ALTER TABLE a.b ADD CONSTRAINT "x" UNIQUE USING INDEX ',
      header('x', 'TABLE'),
    ],
    ...['SELECT 1', "E'\\'", 'CREATE TABLEGROUP ', '\u0000', '\ud800', 'é', 'TABLEGROUP '],
  );

  test('random text is read or refused, in no more parts than it has characters', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary', maxLength: 500 }),
          fc.array(pieces, { maxLength: 60 }).map((all) => all.join('')),
        ),
        (script) => {
          readsBroken(script);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('real-looking dumps, cut and spliced, are read or refused', () => {
    const dump = (seed: number) =>
      written(hostileSchema(seed), {
        quotesUsingIndex: false,
        guards: true,
        roleChecks: true,
        restrict: true,
      }).script;
    const place = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.nat(1_000_000), place, place, (one, other, from, to) => {
        const [left, right] = [dump(one), dump(other)];
        readsBroken(left.slice(0, Math.floor(left.length * from)));
        readsBroken(
          left.slice(0, Math.floor(left.length * from)) + right.slice(Math.floor(right.length * to)),
        );
      }),
      { numRuns: 500 },
    );
  });

  test.each(['(', "'", '"', '$$', '/*', '\\', '--\n', '/* ', 'a ', ';', '$a$'])(
    'a megabyte of %j takes no time worth naming',
    (piece) => {
      const startedAt = Date.now();
      readsBroken(piece.repeat(Math.ceil(1_000_000 / piece.length)));
      // Quadratic work would take hours.
      expect(Date.now() - startedAt).toBeLessThan(60_000);
    },
  );
});

test('a sample of the campaign of hostile names: all are read as meant, none runs a program', async () => {
  const real = await startRealRestores();
  try {
    const report = await runHostile({ cases: 300, seed: 20261129, realEvery: 50, real });
    expect(report.problems).toEqual([]);
    expect(report.read).toBeGreaterThan(250);
    expect(report.restored).toBeGreaterThan(3);
    expect(existsSync(CANARY)).toBe(false);
  } finally {
    await real.stop();
  }
});

describe('a script whose literals were written with standard_conforming_strings off', () => {
  const off = 'SET standard_conforming_strings = off;\n';
  const script =
    `${off}${header('e', 'TYPE')}CREATE TYPE e AS ENUM ('a\\\\b', 'it\\';s', 'c');\n\n` +
    `${header('t', 'COMMENT')}COMMENT ON TABLE t IS 'ends in \\\\';\n\n` +
    `${header('f', 'FUNCTION')}CREATE FUNCTION f() RETURNS text AS $$SELECT 'x\\y';$$;\n`;

  test('is cut where its strings end, and its statements mean the same with the setting on', () => {
    expect(texts(script)).toEqual([
      'SET standard_conforming_strings = on;',
      "CREATE TYPE e AS ENUM (E'a\\\\b', E'it\\';s', 'c');",
      "COMMENT ON TABLE t IS E'ends in \\\\';",
      "CREATE FUNCTION f() RETURNS text AS $$SELECT 'x\\y';$$;",
    ]);
  });

  test('stays the same once it is rewritten, and says on', () => {
    const rewritten = withoutEntries(script, () => false);
    expect(rewritten).toContain('SET standard_conforming_strings = on;');
    expect(texts(rewritten)).toEqual(texts(script));
    expect(withQuotedNames(script)).toBe(rewritten);
  });

  test('is not what a script with the setting on is', () => {
    const on = `SET standard_conforming_strings = on;\nSELECT 'a\\';\nSELECT 'b\\\\';\n`;
    expect(withoutEntries(on, () => false)).toBe(on);
    expect(texts(`${off}SET standard_conforming_strings = 'on';\nSELECT 'a\\';\n`).at(-1)).toBe(
      "SELECT 'a\\';",
    );
  });
});
