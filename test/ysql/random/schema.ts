import pg from 'pg';
import type { Dice } from '../../crash/dice.ts';

/*
 * Random schemas, in which much is reached only through functions: by look-ups in indexes, checks, generated columns, domains,
 * partitions, defaults and views. Each statement is tried, and what the server refuses is left out: so the generator may be bold.
 */

export interface RandomSchema {
  /** What the server took, in order. */
  readonly statements: readonly string[];
}

export interface RandomOptions {
  /** True: some of what stands there can't be made again, as in databases that grew over years. */
  readonly broken: boolean;
}

/** Fills an empty database. */
export async function fillAtRandom(
  url: string,
  dice: Dice,
  { broken }: RandomOptions,
): Promise<RandomSchema> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const statements: string[] = [];
  try {
    await client.query(
      "SET check_function_bodies = off; SET search_path = public; SET client_min_messages = error; SET statement_timeout = '20s'",
    );
    for (const statement of statementsOf(dice, broken)) {
      try {
        await client.query(statement);
        statements.push(statement);
      } catch (error) {
        if (!(error instanceof pg.DatabaseError)) throw error;
      }
    }
    return { statements };
  } finally {
    await client.end();
  }
}

/** Prefixes decide who comes first in a dump. */
const PREFIXES = ['a', 'h', 'm', 't', 'z'];

function* statementsOf(dice: Dice, broken: boolean): Generator<string> {
  const count = (low: number, high: number) => Math.floor(dice.between(low, high + 1));
  const names = (kind: string, many: number) =>
    Array.from({ length: many }, (_, index) => `${dice.pick(PREFIXES)}_${kind}${index}`);
  const lookups = names('look', count(1, 3));
  const tables = names('table', count(2, 4));
  const all = [...lookups, ...tables];

  yield "CREATE TYPE state AS ENUM ('new', 'paid')";
  for (const name of lookups) {
    const keyed = dice.chance(0.8) ? ' PRIMARY KEY' : '';
    yield `CREATE TABLE ${name} (k int${keyed}, label text)`;
    yield `INSERT INTO ${name} SELECT i, 'label ' || i % 7 FROM generate_series(0, ${count(5, 40)}) i`;
  }
  for (const name of tables) {
    const inherits = dice.chance(0.15) ? ` INHERITS (${dice.pick(lookups)})` : '';
    yield `CREATE ${dice.chance(0.1) ? 'UNLOGGED ' : ''}TABLE ${name} (id int, k int, state state DEFAULT 'new', pad text)${inherits}`;
    yield `INSERT INTO ${name} (id, k, state, pad) SELECT i, i % 40, CASE i % 3 WHEN 0 THEN 'paid' ELSE 'new' END::state, repeat('x', 60) || i
           FROM generate_series(1, ${dice.pick([0, 30, 400, 2500])}) i`;
    if (dice.chance(0.7)) yield `ALTER TABLE ${name} ADD ${dice.chance(0.7) ? 'PRIMARY KEY' : 'UNIQUE'} (id)`;
  }
  for (const name of tables) {
    if (dice.chance(0.4)) {
      yield `ALTER TABLE ${name} ADD FOREIGN KEY (k) REFERENCES ${dice.pick(lookups)}${dice.chance(0.2) ? ' NOT VALID' : ''}`;
    }
  }

  const views: string[] = [];
  for (const name of names('view', count(1, 3))) {
    const from = dice.pick([...all, ...views]);
    // Grouping by a key makes a view depend on the key.
    yield dice.pick([
      `CREATE VIEW ${name} AS SELECT k, label FROM ${dice.pick(lookups)} GROUP BY k`,
      `CREATE VIEW ${name} AS SELECT k, count(*)::text AS label FROM ${from} GROUP BY k`,
      `CREATE VIEW ${name} AS SELECT k, pad AS label FROM ${dice.pick(tables)}`,
    ]);
    views.push(name);
  }

  const sources = [...lookups, ...views];
  const texts: string[] = [];
  const truths: string[] = [];
  /** These read nothing but plain tables, so that what they give depends on no order among generated columns. */
  const plainTexts: string[] = [];
  const plainTruths: string[] = [];
  for (const name of names('text', count(2, 5))) {
    const from = dice.pick(sources);
    const at = broken && dice.chance(0.4) ? '' : 'public.';
    const inner = texts.length > 0 && dice.chance(0.2) ? dice.pick(texts) : undefined;
    const read = `SELECT max(label) FROM ${at}${from} s WHERE s.k = $1`;
    const grouped = `SELECT max(q.label) FROM (SELECT k, label FROM public.${dice.pick(lookups)} GROUP BY k) q WHERE q.k = $1`;
    yield dice.pick([
      `CREATE FUNCTION ${name}(int) RETURNS text IMMUTABLE LANGUAGE sql AS $$ ${read} $$`,
      `CREATE FUNCTION ${name}(x int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (${read.replace('$1', 'x')}); END $$`,
      `CREATE FUNCTION ${name}(int) RETURNS text IMMUTABLE LANGUAGE sql BEGIN ATOMIC ${read}; END`,
      `CREATE FUNCTION ${name}(int) RETURNS text IMMUTABLE LANGUAGE sql BEGIN ATOMIC ${grouped}; END`,
      ...(inner === undefined
        ? []
        : [`CREATE FUNCTION ${name}(int) RETURNS text IMMUTABLE LANGUAGE sql RETURN ${inner}($1)`]),
      `CREATE FUNCTION ${name}(int) RETURNS text IMMUTABLE LANGUAGE sql RETURN 'n' || $1`,
    ]);
    texts.push(name);
    if (lookups.includes(from) && inner === undefined) plainTexts.push(name);
  }
  for (const name of names('truth', count(1, 3))) {
    const from = dice.pick(sources);
    const at = broken && dice.chance(0.4) ? '' : 'public.';
    const read = `SELECT EXISTS (SELECT FROM ${at}${from} s WHERE s.k = $1 % 5)`;
    yield dice.pick([
      `CREATE FUNCTION ${name}(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ ${read} $$`,
      `CREATE FUNCTION ${name}(x int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (${read.replace('$1', 'x')}); END $$`,
      `CREATE FUNCTION ${name}(int) RETURNS boolean IMMUTABLE LANGUAGE sql BEGIN ATOMIC ${read}; END`,
    ]);
    truths.push(name);
    if (lookups.includes(from)) plainTruths.push(name);
  }

  for (const name of tables) {
    if (dice.chance(0.3) && plainTexts.length > 0) {
      yield `ALTER TABLE ${name} ADD COLUMN g text GENERATED ALWAYS AS (${dice.pick(plainTexts)}(k)) STORED`;
    } else if (dice.chance(0.3)) {
      yield `ALTER TABLE ${name} ADD COLUMN g text GENERATED ALWAYS AS (upper(pad)) STORED`;
    }
    if (dice.chance(0.4))
      yield `ALTER TABLE ${name} ADD CONSTRAINT ${name}_fits CHECK (${dice.pick(truths)}(k))`;
    if (dice.chance(0.3)) yield `ALTER TABLE ${name} ADD CONSTRAINT ${name}_positive CHECK (id > 0)`;
    if (dice.chance(0.2))
      yield `ALTER TABLE ${name} ADD CONSTRAINT ${name}_later CHECK (${dice.pick(truths)}(id)) NOT VALID`;
    if (dice.chance(0.2)) yield `COMMENT ON CONSTRAINT ${name}_fits ON ${name} IS 'it fits'`;
    if (dice.chance(0.2)) yield `ALTER TABLE ${name} ALTER pad SET DEFAULT ${dice.pick(texts)}(1)`;
  }
  if (dice.chance(0.3) && plainTruths.length > 0) {
    yield `CREATE DOMAIN known AS int CONSTRAINT is_known CHECK (${dice.pick(plainTruths)}(VALUE))`;
    const name = `${dice.pick(PREFIXES)}_domain`;
    yield `CREATE TABLE ${name} (id int, k known${dice.chance(0.3) ? ', more known[]' : ''})`;
    yield `INSERT INTO ${name} (id, k) SELECT i, i % 5 FROM generate_series(1, 300) i`;
  }
  if (dice.chance(0.3) && plainTexts.length > 0) {
    const name = `${dice.pick(PREFIXES)}_whole`;
    const part = `${dice.pick(PREFIXES)}_part`;
    yield `CREATE TABLE ${name} (id int, k int) PARTITION BY LIST ((${dice.pick(plainTexts)}(k)))`;
    yield `CREATE TABLE ${part}0 PARTITION OF ${name} FOR VALUES IN ('label 1', 'label 2', 'n1')`;
    yield `CREATE TABLE ${part}1 PARTITION OF ${name} DEFAULT`;
    yield `INSERT INTO ${name} SELECT i, i % 30 FROM generate_series(1, 500) i`;
    yield `CREATE INDEX ON ${name} (${dice.pick(['id', `${dice.pick(texts)}(k)`])})`;
  }

  const matviews: string[] = [];
  for (const name of names('mat', count(1, 3))) {
    const from = dice.pick([...all, ...views, ...matviews]);
    const value = dice.pick([
      'k',
      `${dice.pick(texts)}(k)`,
      `CASE WHEN ${dice.pick(truths)}(k) THEN 1 ELSE 2 END`,
    ]);
    yield `CREATE MATERIALIZED VIEW ${name} AS SELECT k, ${value} AS value FROM ${from}`;
    matviews.push(name);
    if (dice.chance(0.5)) yield `CREATE INDEX ON ${name} (${dice.pick(['k', `${dice.pick(texts)}(k)`])})`;
  }
  // Its index would come before the view is filled, in every restore.
  if (broken && matviews.length > 0 && dice.chance(0.5)) {
    const name = `${dice.pick(PREFIXES)}_of_mat`;
    yield `CREATE FUNCTION ${name}(x int) RETURNS text IMMUTABLE LANGUAGE plpgsql
           AS $$ BEGIN RETURN (SELECT max(value::text) FROM public.${dice.pick(matviews)} m WHERE m.k = x); END $$`;
    texts.push(name);
  }

  for (let index = count(2, 7); index > 0; index -= 1) {
    const table = dice.pick(tables);
    const column = dice.pick([
      'id',
      'k',
      'state',
      'pad',
      'length(pad)',
      `${dice.pick(texts)}(k)`,
      `${dice.pick(texts)}(id % 40)`,
    ]);
    const where = dice.pick([
      '',
      '',
      " WHERE state = 'paid'",
      ' WHERE id > 10',
      ` WHERE ${dice.pick(truths)}(k)`,
    ]);
    yield `CREATE INDEX ON ${table} (${column}${dice.chance(0.2) ? ', id' : ''})${where}`;
  }
  if (dice.chance(0.3))
    yield `ALTER TABLE ${dice.pick(tables)} ADD EXCLUDE USING btree (id WITH =) WHERE (${dice.pick(truths)}(k) AND id < 20)`;
  if (dice.chance(0.3)) yield `CREATE STATISTICS ON (${dice.pick(texts)}(k)), id FROM ${dice.pick(tables)}`;
  if (dice.chance(0.4)) {
    yield 'CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION $m$no$m$; END $$';
    yield `CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON ${dice.pick(all)} FOR EACH ROW EXECUTE FUNCTION refuse()`;
  }
  if (dice.chance(0.3)) {
    yield 'CREATE SEQUENCE counter; SELECT nextval($$counter$$) FROM generate_series(1, 9)';
    yield `CREATE MATERIALIZED VIEW counted AS SELECT last_value FROM counter`;
  }
  if (!broken) {
    yield* eventTriggers(dice);
    return;
  }

  if (dice.chance(0.5)) {
    yield `SET session_replication_role = replica; INSERT INTO ${dice.pick(tables)} (id, k) VALUES (900000, 900000); RESET session_replication_role`;
  }
  if (dice.chance(0.4)) {
    const truth = dice.pick(truths);
    yield `CREATE OR REPLACE FUNCTION ${truth}(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1 % 3 = 0 $$`;
    yield `CREATE OR REPLACE FUNCTION ${truth}(x int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN x % 3 = 0; END $$`;
  }
  if (dice.chance(0.4)) {
    const text = dice.pick(texts);
    yield `CREATE OR REPLACE FUNCTION ${text}(int) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT label FROM gone WHERE k = $1 $$`;
    yield `CREATE OR REPLACE FUNCTION ${text}(x int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT label FROM gone WHERE k = x); END $$`;
  }
}

/** Event triggers that write down what is done: what a restore does behind its last object would show. */
function* eventTriggers(dice: Dice): Generator<string> {
  if (!dice.chance(0.5)) return;
  yield 'CREATE TABLE audit (n serial, tag text)';
  yield `INSERT INTO audit (tag) VALUES ('begin')`;
  yield 'CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit (tag) VALUES (tg_tag); END $$';
  const moments = ['ddl_command_start', 'ddl_command_end', 'sql_drop'].filter(() => dice.chance(0.7));
  for (const moment of moments)
    yield `CREATE EVENT TRIGGER on_${moment} ON ${moment} EXECUTE FUNCTION noted()`;
  for (const moment of moments) {
    const state = dice.pick(['ENABLE', 'ENABLE ALWAYS', 'ENABLE REPLICA', 'DISABLE']);
    yield `ALTER EVENT TRIGGER on_${moment} ${state}`;
  }
}
