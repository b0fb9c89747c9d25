-- One database that has every kind of object a logical backup must bring back. Runs as superuser in an empty database;
-- the roles zoo_owner, zoo_reader and "Zoo Keeper" exist.
SET client_min_messages = warning;

COMMENT ON SCHEMA public IS 'the zoo''s public grounds';
CREATE SCHEMA "Odd Schema" AUTHORIZATION zoo_owner;
CREATE SCHEMA keep;

-- Extensions; one with an own schema.
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist WITH SCHEMA keep;
CREATE EXTENSION ltree;
COMMENT ON EXTENSION hstore IS 'our key-value type';

-- Types.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"', 'new
line');
CREATE TYPE address AS (street text, number int, tags text[]);
CREATE DOMAIN positive AS int DEFAULT 1 NOT NULL CHECK (VALUE > 0);
CREATE DOMAIN postcode AS text CONSTRAINT looks_right CHECK (VALUE ~ '^[0-9]{4}$');
ALTER DOMAIN postcode ADD CONSTRAINT not_zero CHECK (VALUE <> '0000') NOT VALID;
CREATE TYPE float_range AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE COLLATION numeric_order (provider = icu, locale = 'en-u-kn-true');
CREATE COLLATION "Case Blind" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

-- Functions, procedures, aggregates, operators, casts.
CREATE FUNCTION add_one(i int) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT i + 1';
CREATE FUNCTION tricky_body() RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
  -- Name: not_a_header; Type: TABLE; Schema: public; Owner: nobody
  RETURN $inner$
--
-- Name: neither; Type: INDEX; Schema: public; Owner: nobody
--
\connect nowhere
; $inner$ || E'\\ '' ; --' || 'C:\dir';
END $body$;
CREATE FUNCTION standard_body(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC
  SELECT CASE WHEN a > 0 THEN 1 ELSE 2 END;
  SELECT a + 2;
END;
CREATE FUNCTION many(OUT a int, OUT b text) RETURNS SETOF record LANGUAGE sql AS $$ SELECT 1, 'x' $$;
CREATE FUNCTION secure(VARIADIC x int[] DEFAULT '{1,2}') RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog COST 7 AS 'SELECT 1';
CREATE PROCEDURE tidy(n int) LANGUAGE plpgsql AS $$ BEGIN PERFORM n; END $$;
CREATE FUNCTION concat_state(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, '''') || $2';
CREATE AGGREGATE glue(text) (SFUNC = concat_state, STYPE = text, INITCOND = '');
CREATE FUNCTION near(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 2';
CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = near, COMMUTATOR = ~~~);
CREATE FUNCTION mood_rank(mood) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT CASE $1 WHEN 'sad' THEN 0 ELSE 1 END $$;
CREATE CAST (mood AS int) WITH FUNCTION mood_rank(mood);
CREATE OPERATOR CLASS int_near FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 3 =, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);

-- Text search.
CREATE TEXT SEARCH DICTIONARY zoo_words (TEMPLATE = simple, StopWords = english);
CREATE TEXT SEARCH CONFIGURATION zoo_search (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION zoo_search ALTER MAPPING FOR asciiword WITH zoo_words;

-- Every type, with its awkward values.
CREATE TABLE every_type (
  id int PRIMARY KEY, small smallint, big bigint, exact numeric, scaled numeric(30, 10), single real, double double precision,
  money_ money, flag boolean, fixed char(5), varied varchar(40), long text, blind text COLLATE "Case Blind", one "char", name_ name,
  bytes bytea, day date, clock time, clock_zone timetz, moment timestamp, moment_zone timestamptz(6), span interval,
  js json, jsb jsonb, jp jsonpath, x xml, u uuid, ip inet, net cidr, mac macaddr, mac8 macaddr8, bits bit(5), varbits bit varying,
  vec tsvector, q tsquery, p point, l line, s lseg, b box, pa path, po polygon, c circle,
  ir int4range, nr numrange, tr tstzrange, mr int4multirange, fr float_range,
  ia int[], ta text[], two int[][], ma mood[], m mood, a address, aa address[], d positive, pc postcode,
  h hstore, ci citext, lt ltree, ref oid, rc regclass, lsn pg_lsn);
INSERT INTO every_type VALUES
 (1, -32768, -9223372036854775808, 'NaN', 12345678901234567890.0123456789, '-Infinity', 'NaN', '-92233720368547758.08', true, 'ab',
  E'tab\there', E'back\\slash, new\nline, carriage\rreturn, \\N, \\., "quoted", ''single''', 'Blind', 'x', 'a name', '\x00ff0a5c09', '4713-01-01 BC', '24:00', '23:59:59.999999-15:59',
  'infinity', '-infinity', '-178000000 years', '{"a": 1,  "a": [2]}', '{"b": [1, null, "\\u00e9"]}', '$.a[*] ? (@ > 1)', '<a b="c">text</a>',
  '6f1c1e6e-5b1c-4c5f-9d0c-000000000001', '::1/64', '10.1.0.0/16', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10110', B'1',
  'a:1A fat:2B,4', 'fat:AB & (rat | !cat:*)', '(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]', '(2,2),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),5>',
  'empty', '[1.1,2.2)', '[2020-01-01 00:00+00,)', '{[1,3),[5,9)}', '[1.5,2.5]',
  '{1,NULL,3}', E'{"",NULL,"NULL","a,b","c\\"d","e\\\\f",unicodé}', '{{1,2},{3,4}}', '{sad,"it''s \"fine\""}', 'new
line', ROW('Main "St"', 5, '{a,b}'), ARRAY[ROW(NULL, NULL, NULL)::address], 3, '1234',
  'a=>1, b=>NULL', 'CaseLess', 'a.b.c', 4294967295, 'pg_class', '16/B374D848'),
 (2, 32767, 9223372036854775807, 'Infinity', -0.0000000001, '1e-45', 5e-324, '0.01', false, '', '', '', '', '', '', '', '5874897-12-31', '00:00', '00:00+15:59',
  '294276-12-31 23:59:59.999999', '4714-11-24 00:00:00 BC+00', '1 year -1 mon +3 days -04:05:06.789', 'null', 'null', '$', '', '00000000-0000-0000-0000-000000000000',
  '0.0.0.0/0', '::/0', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00:00:00', B'00000', B'', '', '', '(Infinity,NaN)', '{0,-1,0.1}', '[(1e300,1),(0,0)]', '(1,1),(1,1)', '((0,0),(1,1))', '((0,0))', '<(1,1),0>',
  '[1,)', '(,)', 'empty', '{}', '(-Infinity,Infinity)', '{}', '{}', '{}', '{}', 'sad', ROW(NULL, NULL, '{}'), '{}', 1, NULL, '', '', '', 0, 0, '0/0');
INSERT INTO every_type (id, long, exact, double, single, d) SELECT i, repeat('zoö 動物 🦓 ', i * 40), i / 7.0, i / 7.0::float8, i / 3.0::float4, i FROM generate_series(3, 200) i;
INSERT INTO every_type (id, d) VALUES (1000, 5);

-- Generated and identity columns, sequences, defaults, dropped columns.
CREATE TABLE computed (id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 7), by_default bigint GENERATED BY DEFAULT AS IDENTITY,
  serial_ serial, gone text, base int DEFAULT add_one(40), twice int GENERATED ALWAYS AS (base * 2) STORED, note text DEFAULT 'it''s; --');
INSERT INTO computed (gone, base) SELECT 'x', i FROM generate_series(1, 50) i;
ALTER TABLE computed DROP COLUMN gone;
ALTER TABLE computed ADD COLUMN later int DEFAULT 9;
DELETE FROM computed WHERE base % 5 = 0;
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE all_generated (id int, x int GENERATED ALWAYS AS (1) STORED);
INSERT INTO all_generated VALUES (1), (2);
ALTER TABLE all_generated DROP COLUMN id;
CREATE TABLE empty_table (a int, b text);
CREATE UNLOGGED TABLE unlogged_ (a int PRIMARY KEY, b text);
INSERT INTO unlogged_ SELECT i, 'u' || i FROM generate_series(1, 20) i;
CREATE SEQUENCE never_called START 42 MINVALUE 10 CYCLE CACHE 5;
CREATE SEQUENCE called_ AS smallint INCREMENT -1; SELECT nextval('called_'), nextval('called_');
CREATE SEQUENCE set_uncalled; SELECT setval('set_uncalled', 77, false);
CREATE SEQUENCE "odd.seq ""x""" OWNED BY computed.later; SELECT setval('"odd.seq ""x"""', 9223372036854775806);
CREATE SEQUENCE keep.free AS int MAXVALUE 1000;
CREATE TABLE typed OF address (street WITH OPTIONS NOT NULL);
INSERT INTO typed VALUES ('High', 1, NULL);
CREATE TABLE with_storage (a text COMPRESSION pglz, b int) WITH (fillfactor = 70, autovacuum_enabled = false);
ALTER TABLE with_storage ALTER COLUMN a SET STORAGE EXTERNAL; ALTER TABLE with_storage ALTER COLUMN b SET STATISTICS 200; ALTER TABLE with_storage ALTER COLUMN a SET (n_distinct = -0.5);
INSERT INTO with_storage SELECT repeat(md5(i::text), 200), i FROM generate_series(1, 60) i;

-- Names of any kind.
CREATE TABLE "Odd Schema"."Tab.le ""quoted"" 'x' -- ; $1 ünïcode" ("Col.umn ""q"" \ 'z'" int, "select" text, " " int, "ünï" text);
INSERT INTO "Odd Schema"."Tab.le ""quoted"" 'x' -- ; $1 ünïcode" SELECT i, 'v' || i, -i, 'ü' FROM generate_series(1, 30) i;
CREATE TABLE "new
line" ("a
b" int); INSERT INTO "new
line" VALUES (7);
CREATE TABLE "UPPER" (id int); INSERT INTO "UPPER" VALUES (1);
CREATE INDEX "odd; index ""q""" ON "Odd Schema"."Tab.le ""quoted"" 'x' -- ; $1 ünïcode" ("select") WHERE "select" <> 'a;b -- c';

-- Partitions: list of range of hash, defaults; inheritance.
CREATE TABLE sales (region text, day date, id int, amount numeric, PRIMARY KEY (region, day, id)) PARTITION BY LIST (region);
CREATE TABLE sales_eu PARTITION OF sales FOR VALUES IN ('eu', 'uk') PARTITION BY RANGE (day);
CREATE TABLE sales_eu_2024 PARTITION OF sales_eu FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE sales_eu_2024_0 PARTITION OF sales_eu_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE keep.sales_eu_2024_1 PARTITION OF sales_eu_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE sales_eu_rest PARTITION OF sales_eu DEFAULT;
CREATE TABLE sales_other (amount numeric, id int NOT NULL, day date NOT NULL, region text NOT NULL);
ALTER TABLE sales ATTACH PARTITION sales_other DEFAULT;
INSERT INTO sales SELECT (ARRAY['eu','uk','us','jp'])[1 + i % 4], '2023-06-01'::date + i, i, i / 3.0 FROM generate_series(1, 800) i;
CREATE INDEX sales_amount ON sales (amount) INCLUDE (id);
CREATE UNIQUE INDEX ON sales_other (id);
CREATE TABLE animal (id int PRIMARY KEY, name text NOT NULL CHECK (name <> '') NO INHERIT);
CREATE TABLE bird (wingspan int CHECK (wingspan > 0)) INHERITS (animal);
CREATE TABLE parrot (words text[]) INHERITS (bird);
INSERT INTO animal VALUES (1, 'generic'); INSERT INTO bird VALUES (2, 'gull', 120); INSERT INTO parrot VALUES (3, 'polly', 40, '{hello}');

-- Constraints.
CREATE TABLE chicken (id int PRIMARY KEY, egg int);
CREATE TABLE egg (id int PRIMARY KEY, chicken int REFERENCES chicken DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE chicken ADD FOREIGN KEY (egg) REFERENCES egg ON DELETE SET NULL DEFERRABLE;
BEGIN; INSERT INTO egg SELECT i, 101 - i FROM generate_series(1, 100) i; INSERT INTO chicken SELECT i, i FROM generate_series(1, 100) i; COMMIT;
CREATE TABLE self_ref (id int PRIMARY KEY, parent int REFERENCES self_ref); INSERT INTO self_ref VALUES (1, 2), (2, 1);
CREATE TABLE sold (region text, day date, id int, FOREIGN KEY (region, day, id) REFERENCES sales MATCH FULL); INSERT INTO sold SELECT region, day, id FROM sales WHERE id % 9 = 0;
CREATE TABLE booking (room int, during tsrange, cancelled boolean, EXCLUDE USING gist (room WITH OPERATOR(pg_catalog.=), during WITH &&) WHERE (NOT cancelled) DEFERRABLE) ;
INSERT INTO booking VALUES (1, '[2024-01-01, 2024-01-02)', false), (1, '[2024-01-01, 2024-01-03)', true);
CREATE TABLE checked (a int, b int, UNIQUE NULLS NOT DISTINCT (a), CONSTRAINT "odd check" CHECK (a < b)); INSERT INTO checked VALUES (1, 2), (NULL, 1);
INSERT INTO checked SELECT 50, 51;
ALTER TABLE checked ADD CONSTRAINT broken_already CHECK (b > 1) NOT VALID;
ALTER TABLE checked ADD CONSTRAINT dangling FOREIGN KEY (a) REFERENCES animal NOT VALID;

-- Every index kind.
CREATE TABLE indexed (id int, t text, a int[], j jsonb, p point, r int4range, ip inet, v tsvector);
INSERT INTO indexed SELECT i, 'text ' || i, ARRAY[i, i + 1], jsonb_build_object('i', i), point(i, i), int4range(i, i + 5), '10.0.0.1'::inet + i, to_tsvector('english', 'word ' || i) FROM generate_series(1, 500) i;
CREATE UNIQUE INDEX indexed_u ON indexed (id DESC NULLS LAST) INCLUDE (t);
CREATE INDEX indexed_h ON indexed USING hash (t);
CREATE INDEX indexed_gin ON indexed USING gin (a, j jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX indexed_gist ON indexed USING gist (r, p);
CREATE INDEX indexed_brin ON indexed USING brin (id) WITH (pages_per_range = 4);
CREATE INDEX indexed_spgist ON indexed USING spgist (ip);
CREATE INDEX indexed_partial ON indexed (t text_pattern_ops) WHERE id > 100;
CREATE INDEX indexed_expr ON indexed ((lower(t)), add_one(id));
CREATE INDEX indexed_coll ON indexed (t COLLATE "C");
ALTER INDEX indexed_expr ALTER COLUMN 1 SET STATISTICS 500;
ALTER TABLE indexed CLUSTER ON indexed_u;
ALTER TABLE chicken REPLICA IDENTITY FULL;
ALTER TABLE unlogged_ REPLICA IDENTITY USING INDEX unlogged__pkey;
COMMENT ON INDEX indexed_brin IS 'small';
CREATE STATISTICS indexed_stats (ndistinct, dependencies, mcv) ON id, t FROM indexed;
CREATE STATISTICS indexed_expr_stats ON (id % 10), t FROM indexed;

-- Views.
CREATE VIEW birds WITH (security_barrier) AS SELECT id, name FROM bird WHERE wingspan > 10 WITH CASCADED CHECK OPTION;
CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 10;
CREATE VIEW grouped AS SELECT id, name FROM animal GROUP BY id;
CREATE VIEW on_grouped AS SELECT * FROM grouped;
CREATE MATERIALIZED VIEW mat AS SELECT region, sum(amount) AS total FROM sales GROUP BY region WITH DATA;
CREATE UNIQUE INDEX mat_region ON mat (region);
CREATE MATERIALIZED VIEW mat_on_mat AS SELECT count(*) AS n FROM mat;
CREATE MATERIALIZED VIEW mat_empty AS SELECT 1 AS one WITH NO DATA;
CREATE VIEW updatable AS SELECT * FROM empty_table;

-- Rules and triggers in every state.
CREATE RULE redirect AS ON INSERT TO updatable DO INSTEAD INSERT INTO empty_table VALUES (NEW.a, NEW.b);
CREATE RULE two_things AS ON DELETE TO booking DO ALSO (NOTIFY booking; SELECT 1);
CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no inserts here'; END $$;
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.t := 'changed'; RETURN NEW; END $$;
CREATE TRIGGER forbid BEFORE INSERT ON checked FOR EACH ROW EXECUTE FUNCTION forbid();
CREATE TRIGGER change_always BEFORE INSERT OR UPDATE OF t ON indexed FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION change('arg', 'it''s');
CREATE TRIGGER t_disabled AFTER DELETE ON indexed REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forbid();
CREATE TRIGGER t_replica AFTER INSERT ON indexed FOR EACH ROW EXECUTE FUNCTION forbid();
CREATE CONSTRAINT TRIGGER t_constraint AFTER UPDATE ON indexed DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION forbid();
CREATE TRIGGER sales_t AFTER DELETE ON sales FOR EACH ROW EXECUTE FUNCTION forbid();
ALTER TABLE indexed ENABLE ALWAYS TRIGGER change_always; ALTER TABLE indexed DISABLE TRIGGER t_disabled; ALTER TABLE indexed ENABLE REPLICA TRIGGER t_replica;
COMMENT ON TRIGGER forbid ON checked IS 'really';
CREATE FUNCTION watch_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF current_setting('zoo.closed', true) = 'yes' THEN RAISE EXCEPTION 'the zoo is closed'; END IF; END $$;
CREATE EVENT TRIGGER zoo_ddl ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION watch_ddl();
CREATE EVENT TRIGGER zoo_off ON sql_drop EXECUTE FUNCTION watch_ddl();
ALTER EVENT TRIGGER zoo_off DISABLE;
COMMENT ON EVENT TRIGGER zoo_ddl IS 'keeps watch';

-- Policies, grants, owners, comments, default privileges.
CREATE TABLE secrets (id int PRIMARY KEY, owner_ text, body text); INSERT INTO secrets SELECT i, 'zoo_owner', 's' || i FROM generate_series(1, 10) i;
ALTER TABLE secrets OWNER TO zoo_owner; ALTER TABLE secrets ENABLE ROW LEVEL SECURITY; ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON secrets AS PERMISSIVE FOR SELECT TO zoo_reader, "Zoo Keeper" USING (owner_ = current_user);
CREATE POLICY nobody ON secrets AS RESTRICTIVE FOR ALL TO PUBLIC USING (id < 1000) WITH CHECK (false);
GRANT SELECT (id, "long"), UPDATE (flag) ON every_type TO zoo_reader;
GRANT ALL ON computed TO "Zoo Keeper" WITH GRANT OPTION;
SET SESSION AUTHORIZATION "Zoo Keeper"; GRANT SELECT ON computed TO zoo_reader; RESET SESSION AUTHORIZATION;
REVOKE ALL ON FUNCTION secure FROM PUBLIC; GRANT EXECUTE ON FUNCTION secure TO zoo_reader;
GRANT USAGE ON SCHEMA keep TO PUBLIC; GRANT USAGE ON SEQUENCE called_ TO zoo_reader; GRANT USAGE ON TYPE mood TO "Zoo Keeper"; REVOKE USAGE ON TYPE mood FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA keep GRANT SELECT ON TABLES TO zoo_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER TABLE parrot OWNER TO "Zoo Keeper"; ALTER TYPE mood OWNER TO zoo_owner; ALTER FUNCTION near OWNER TO zoo_owner;
COMMENT ON TABLE every_type IS E'line one\nline ''two'' ; \\ -- Name: x; Type: TABLE; Schema: public; Owner: y';
COMMENT ON COLUMN every_type.m IS 'how it feels'; COMMENT ON TYPE mood IS 'feelings'; COMMENT ON FUNCTION add_one(int) IS 'adds';
COMMENT ON CONSTRAINT "odd check" ON checked IS 'odd'; COMMENT ON POLICY nobody ON secrets IS 'none'; COMMENT ON RULE redirect ON updatable IS 'r';

-- Publications, foreign data.
CREATE PUBLICATION zoo_some FOR TABLE computed (id, base) WHERE (base > 3), animal WITH (publish = 'insert, update');
CREATE PUBLICATION zoo_schema FOR TABLES IN SCHEMA keep;
CREATE PUBLICATION zoo_all FOR ALL TABLES;
CREATE FOREIGN DATA WRAPPER zoo_wrapper;
CREATE SERVER zoo_far FOREIGN DATA WRAPPER zoo_wrapper OPTIONS (host 'far''away');
CREATE USER MAPPING FOR zoo_reader SERVER zoo_far OPTIONS (user 'x');
CREATE FOREIGN TABLE far_away (id int OPTIONS (name 'x'), t text) SERVER zoo_far OPTIONS (path '/x');
