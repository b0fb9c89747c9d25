import { cutAtRows } from '../../engines/ysql/dump-sections.ts';
import { foreignCalls } from '../../engines/ysql/restore/calls.ts';
import { separateChecks } from '../../engines/ysql/restore/late-checks.ts';
import { dumpEntries } from '../../engines/ysql/server/dump-script.ts';

const header = (type: string, name: string) =>
  `--\n-- Name: ${name}; Type: ${type}; Schema: public; Owner: o\n--\n\n`;

const separated = (script: string) => {
  const entries = dumpEntries(script);
  const { preData, lateChecks, validations } = separateChecks(entries, foreignCalls(entries).inExpression);
  const texts = (some: typeof preData) =>
    some.flatMap(({ statements }) => statements.map(({ text }) => text));
  return { preData: texts(preData), late: texts(lateChecks), validations: texts(validations) };
};

test.each([
  ['(a int, CONSTRAINT one CHECK (public.f(a)))', '(a int)'],
  [
    '(a int, CONSTRAINT one CHECK (public.f(a)), CONSTRAINT two CHECK ((a > 0)))',
    '(a int, CONSTRAINT two CHECK ((a > 0)))',
  ],
  [
    '(CONSTRAINT one CHECK (public.f(a)), CONSTRAINT two CHECK ((a > 0)))',
    '( CONSTRAINT two CHECK ((a > 0)))',
  ],
  [
    '(CONSTRAINT one CHECK (public.f(a)), CONSTRAINT one2 CHECK (public.f(b)), CONSTRAINT two CHECK ((a > 0)))',
    '(  CONSTRAINT two CHECK ((a > 0)))',
  ],
  ['(CONSTRAINT one CHECK (public.f(a)) NO INHERIT)', '()'],
  [
    "(a text DEFAULT 'CHECK (public.f(a))', CONSTRAINT one CHECK ((a <> 'public.f(a)')))",
    "(a text DEFAULT 'CHECK (public.f(a))', CONSTRAINT one CHECK ((a <> 'public.f(a)')))",
  ],
])('checks that call functions leave CREATE TABLE %s', (columns, left) => {
  const { preData, late, validations } = separated(
    `${header('TABLE', 't')}CREATE TABLE public.t ${columns};\n`,
  );
  expect(preData).toEqual([`CREATE TABLE public.t ${left};`]);
  expect(late).toHaveLength(columns.split('public.f(').length - left.split('public.f(').length);
  expect(validations).toHaveLength(late.length);
  for (const text of late)
    expect(text).toMatch(
      /^ALTER TABLE "public"."t" ADD CONSTRAINT one2? CHECK \(public\.f\([ab]\)\)( NO INHERIT)? NOT VALID;$/,
    );
});

test('a comment goes with its check, and a domain’s check is added later too, unless a type holds the domain', () => {
  const domain = `${header('DOMAIN', 'd')}CREATE DOMAIN public.d AS integer\n\tCONSTRAINT known CHECK (public.f(VALUE));\n`;
  const comment = `${header('COMMENT', 'CONSTRAINT known ON d')}COMMENT ON CONSTRAINT known ON DOMAIN public.d IS 'x';\n`;
  expect(separated(domain + comment)).toEqual({
    preData: ['CREATE DOMAIN public.d AS integer\n\t;'],
    late: [
      'ALTER DOMAIN "public"."d" ADD CONSTRAINT known CHECK (public.f(VALUE)) NOT VALID;',
      "COMMENT ON CONSTRAINT known ON DOMAIN public.d IS 'x';",
    ],
    validations: ['ALTER DOMAIN "public"."d" VALIDATE CONSTRAINT "known";'],
  });
  const table = `${header('TABLE', 't')}CREATE TABLE public.t (many public.d[]);\n`;
  expect(separated(domain + table).late).toEqual([]);
});

test.each([
  ['CREATE INDEX i ON public.t USING btree (a)', false],
  ['CREATE INDEX i ON public.t USING gin (a public.gin_trgm_ops)', false],
  ["CREATE INDEX i ON public.t USING gist (a public.gist_trgm_ops (siglen='32'))", false],
  ['CREATE INDEX i ON public.t USING btree (a COLLATE public.german)', false],
  ["CREATE INDEX i ON public.t USING btree (lower(a)) WHERE (s = 'new'::public.state)", false],
  ['CREATE INDEX i ON public.t USING btree (lower(a)) INCLUDE (b) WHERE (b > 0)', false],
  ['CREATE INDEX i ON public.t USING btree (public.f(a))', true],
  ['CREATE INDEX i ON public.t USING btree (a, ((b + public.f(a))))', true],
  ['CREATE INDEX i ON public.t USING btree (a) WHERE public.f(a)', true],
  ['CREATE INDEX i ON public.t USING btree (((a)::public.of_extension))', true],
  ['CREATE INDEX i ON public.t USING btree (((a OPERATOR(public.+) 1)))', true],
  ['ALTER TABLE ONLY public.t ADD CONSTRAINT i PRIMARY KEY (a)', false],
  ['ALTER TABLE ONLY public.t ADD CONSTRAINT i EXCLUDE USING gist (a WITH =)', false],
  ['ALTER TABLE ONLY public.t ADD CONSTRAINT i EXCLUDE USING btree (a WITH =) WHERE (public.f(a))', true],
  ['ALTER TABLE public.t ADD CONSTRAINT i CHECK (public.f(a)) NOT VALID', true],
  ['ALTER TABLE public.t ADD CONSTRAINT i CHECK ((a > 0)) NOT VALID', false],
])('%s: calls what isn’t built in: %s', (statement, expected) => {
  const type = `${header('TYPE', 'state')}CREATE TYPE public.state AS ENUM (\n    'new'\n);\n`;
  const [entry] = dumpEntries(
    `${header(statement.startsWith('CREATE') ? 'INDEX' : 'CONSTRAINT', 'i')}${statement};\n`,
  );
  if (entry === undefined) throw new Error('no entry');
  expect(foreignCalls(dumpEntries(type)).inIndex(entry)).toBe(expected);
  expect(foreignCalls(dumpEntries(type), new Set(['public.i'])).inIndex(entry)).toBe(
    expected || !statement.includes('CHECK'),
  );
});

test('what a schema has behind its first key stays behind it, and privileges go with what they are about', () => {
  const script = [
    `${header('TABLE', 't')}CREATE TABLE public.t (a int);\n`,
    `${header('CONSTRAINT', 't pk')}ALTER TABLE ONLY public.t ADD CONSTRAINT pk PRIMARY KEY (a);\n`,
    `${header('FUNCTION', 'f(integer)')}CREATE FUNCTION public.f(a integer) RETURNS int LANGUAGE sql RETURN a;\n`,
    `${header('DEFAULT', 't a')}ALTER TABLE ONLY public.t ALTER COLUMN a SET DEFAULT public.f(1);\n`,
    `${header('ACL', 'TABLE t')}GRANT SELECT ON TABLE public.t TO o;\n`,
    `${header('ACL', 'FUNCTION f(a integer)')}GRANT ALL ON FUNCTION public.f(a integer) TO o;\n`,
  ].join('\n');
  const { preData, postData } = cutAtRows(script);
  const types = (text: string) => dumpEntries(text).map(({ type, name }) => `${type} ${name}`);
  expect(types(preData)).toEqual(['TABLE t', 'ACL TABLE t']);
  expect(types(postData)).toEqual([
    'CONSTRAINT t pk',
    'FUNCTION f(integer)',
    'DEFAULT t a',
    'ACL FUNCTION f(a integer)',
  ]);
});
