import { query } from '../../support/sql.ts';
import type { Universe } from '../launcher.ts';

/** What the tests save and look for again: a YSQL database with kinds of objects that matter, and a YCQL keyspace. */
export async function fill(universe: Universe): Promise<void> {
  await query(universe.ysql('yugabyte'), 'CREATE DATABASE shop');
  await query(
    universe.ysql('shop'),
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    'CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, mood mood)',
    'CREATE TABLE orders (id bigserial PRIMARY KEY, customer bigint REFERENCES customers, note text)',
    'CREATE INDEX orders_by_customer ON orders (customer)',
    'CREATE TABLE nothing (line text)',
    "INSERT INTO customers SELECT i, E'na\\tme\\n' || i, (ARRAY['sad', 'ok', NULL]::mood[])[1 + i % 3] FROM generate_series(1, 300) i",
    "INSERT INTO orders (customer, note) SELECT 1 + i % 300, 'note ' || i FROM generate_series(1, 900) i",
  );
  await query(
    universe.ycqlStoreUrl,
    'CREATE SCHEMA metrics',
    'CREATE TABLE metrics.samples (host text, at int, value float8, PRIMARY KEY (host, at))',
    "INSERT INTO metrics.samples SELECT 'host' || i % 5, i, i / 7.0 FROM generate_series(1, 200) i",
  );
}

/** A digest of everything in the database, sequences too. */
export function databaseContents(universe: Universe, database: string) {
  return query(
    universe.ysql(database),
    `SELECT (SELECT md5(string_agg(c::text, '|' ORDER BY id)) FROM customers c) AS customers,
       (SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o) AS orders,
       (SELECT count(*) FROM nothing) AS nothing,
       (SELECT last_value FROM orders_id_seq) AS sequence`,
  );
}

export function keyspaceContents(universe: Universe, keyspace: string) {
  return query(
    universe.ycqlStoreUrl,
    `SELECT count(*), md5(string_agg(s::text, '|' ORDER BY host, at)) AS samples FROM "${keyspace}".samples s`,
  );
}
