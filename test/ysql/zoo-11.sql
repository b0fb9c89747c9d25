-- What PostgreSQL 11 has of zoo.sql, for the lines of YugabyteDB that are made from it. Runs as superuser in an empty database;
-- the roles zoo_owner, zoo_reader and "Zoo Keeper" exist.
SET client_min_messages = warning;

CREATE SCHEMA "Odd Schema" AUTHORIZATION zoo_owner;
CREATE SCHEMA keep;
CREATE EXTENSION hstore;
CREATE EXTENSION citext;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE TYPE address AS (street text, number int, tags text[]);
CREATE DOMAIN positive AS int DEFAULT 1 NOT NULL CHECK (VALUE > 0);
CREATE FUNCTION add_one(i int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT i + 1';
CREATE FUNCTION tricky_body() RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
  -- Name: not_a_header; Type: TABLE; Schema: public; Owner: nobody
  RETURN $inner$
--
-- Name: neither; Type: INDEX; Schema: public; Owner: nobody
--
\connect nowhere
; $inner$ || E'\\ '' ; --';
END $body$;
CREATE PROCEDURE tidy(n int) LANGUAGE plpgsql AS $$ BEGIN PERFORM n; END $$;

CREATE TABLE every_type (
  id int PRIMARY KEY, big bigint, exact numeric, single real, double double precision, flag boolean, fixed char(5), varied varchar(40),
  long text, bytes bytea, day date, moment timestamp, moment_zone timestamptz(6), span interval, js json, jsb jsonb, u uuid, ip inet,
  bits bit(5), vec tsvector, p point, ir int4range, ia int[], m mood, a address, d positive, h hstore, ci citext);
INSERT INTO every_type (id, big, exact, single, double, flag, fixed, long, bytes, day, span, js, u, bits, p, ir, ia, m, a, d, h, ci) VALUES
 (1, -9223372036854775808, 'NaN', '-Infinity', 'NaN', true, 'ab', E'back\\slash, new\nline, \\N, \\., "quoted"', '\x00ff0a5c09', '4713-01-01 BC',
  '-178000000 years', '{"a": 1,  "a": [2]}', '6f1c1e6e-5b1c-4c5f-9d0c-000000000001', B'10110', '(1.5,-2)', 'empty', '{1,NULL,3}', 'ok', ROW('Main "St"', 5, '{a,b}'), 3, 'a=>1, b=>NULL', 'CaseLess');
INSERT INTO every_type (id, long, exact, double, d) SELECT i, repeat('zoö 動物 🦓 ', i * 40), i / 7.0, i / 7.0::float8, i FROM generate_series(3, 200) i;

CREATE TABLE computed (id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 7), serial_ serial, gone text, base int DEFAULT add_one(40));
INSERT INTO computed (gone, base) SELECT 'x', i FROM generate_series(1, 50) i;
ALTER TABLE computed DROP COLUMN gone;
ALTER TABLE computed ADD COLUMN later int DEFAULT 9;
CREATE SEQUENCE never_called START 42 MINVALUE 10 CYCLE;
CREATE SEQUENCE called_ AS smallint INCREMENT -1; SELECT nextval('called_'), nextval('called_');
CREATE TABLE "Odd Schema"."Tab.le ""quoted"" 'x' -- ; $1 ünïcode" ("Col.umn ""q"" \ 'z'" int, "select" text);
INSERT INTO "Odd Schema"."Tab.le ""quoted"" 'x' -- ; $1 ünïcode" SELECT i, 'v' || i FROM generate_series(1, 30) i;

CREATE TABLE sales (region text, day date, id int, amount numeric, PRIMARY KEY (region, day, id)) PARTITION BY LIST (region);
CREATE TABLE sales_eu PARTITION OF sales FOR VALUES IN ('eu', 'uk') PARTITION BY RANGE (day);
CREATE TABLE sales_eu_2024 PARTITION OF sales_eu FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE sales_eu_rest PARTITION OF sales_eu DEFAULT;
CREATE TABLE sales_other (amount numeric, id int NOT NULL, day date NOT NULL, region text NOT NULL);
ALTER TABLE sales ATTACH PARTITION sales_other DEFAULT;
INSERT INTO sales SELECT (ARRAY['eu','uk','us','jp'])[1 + i % 4], '2023-06-01'::date + i, i, i / 3.0 FROM generate_series(1, 800) i;
CREATE INDEX sales_amount ON sales (amount) INCLUDE (id);
CREATE TABLE animal (id int PRIMARY KEY, name text NOT NULL CHECK (name <> '') NO INHERIT);
CREATE TABLE bird (wingspan int CHECK (wingspan > 0)) INHERITS (animal);
INSERT INTO animal VALUES (1, 'generic'); INSERT INTO bird VALUES (2, 'gull', 120);

CREATE TABLE parent (id int PRIMARY KEY, code text, "Mixed" int, CONSTRAINT parent_code_key UNIQUE (code), CONSTRAINT "T_Mixed_key" UNIQUE ("Mixed"));
INSERT INTO parent SELECT i, 'c' || i, i FROM generate_series(1, 50) i;
CREATE TABLE child (id int PRIMARY KEY, code text REFERENCES parent (code), up int REFERENCES parent DEFERRABLE);
INSERT INTO child SELECT i, 'c' || i, i FROM generate_series(1, 50) i;
CREATE TABLE checked (a int, b int, CONSTRAINT "odd check" CHECK (a < b)); INSERT INTO checked VALUES (1, 2);

CREATE TABLE indexed (id int, t text, a int[], v tsvector);
INSERT INTO indexed SELECT i, 'text ' || i, ARRAY[i, i + 1], to_tsvector('english', 'word ' || i) FROM generate_series(1, 500) i;
CREATE UNIQUE INDEX indexed_u ON indexed (id DESC NULLS LAST) INCLUDE (t);
CREATE INDEX indexed_gin ON indexed USING gin (a);
CREATE INDEX indexed_expr ON indexed ((lower(t)), add_one(id)) WHERE id > 100;
CREATE STATISTICS indexed_stats (ndistinct, dependencies) ON id, t FROM indexed;

CREATE VIEW birds WITH (security_barrier) AS SELECT id, name FROM bird WHERE wingspan > 10 WITH CASCADED CHECK OPTION;
CREATE VIEW grouped AS SELECT id, name FROM animal GROUP BY id;
CREATE MATERIALIZED VIEW mat AS SELECT region, sum(amount) AS total FROM sales GROUP BY region;
CREATE UNIQUE INDEX mat_region ON mat (region);
CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no inserts here'; END $$;
CREATE TRIGGER forbid BEFORE INSERT ON checked FOR EACH ROW EXECUTE FUNCTION forbid();
CREATE TRIGGER off AFTER DELETE ON indexed FOR EACH ROW EXECUTE FUNCTION forbid();
ALTER TABLE indexed DISABLE TRIGGER off;

CREATE TABLE secrets (id int PRIMARY KEY, owner_ text); INSERT INTO secrets SELECT i, 'zoo_owner' FROM generate_series(1, 10) i;
ALTER TABLE secrets OWNER TO zoo_owner; ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON secrets FOR SELECT TO zoo_reader, "Zoo Keeper" USING (owner_ = current_user);
GRANT SELECT (id, "long"), UPDATE (flag) ON every_type TO zoo_reader;
GRANT USAGE ON SCHEMA keep TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA keep GRANT SELECT ON TABLES TO zoo_reader;
COMMENT ON TABLE every_type IS E'line one\nline ''two'' ; \\ -- Name: x; Type: TABLE; Schema: public; Owner: y';
COMMENT ON CONSTRAINT "odd check" ON checked IS 'odd';
