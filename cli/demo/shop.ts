import pg from 'pg';

/** The demo's database: a small shop, about 150 MB as text, with things besides rows that a restore must bring back. */
const SCHEMA = `
CREATE TYPE order_state AS ENUM ('new', 'paid', 'shipped', 'returned');
CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL UNIQUE,
  since date NOT NULL,
  preferences jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer bigint NOT NULL REFERENCES customers,
  state order_state NOT NULL DEFAULT 'new',
  total numeric(12,2) NOT NULL CHECK (total >= 0),
  note text,
  token uuid NOT NULL,
  placed_at timestamptz NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer, placed_at);
CREATE VIEW open_orders AS SELECT * FROM orders WHERE state IN ('new', 'paid');
CREATE FUNCTION no_deletes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'orders are never deleted'; END $$;
CREATE TRIGGER orders_stay BEFORE DELETE ON orders EXECUTE FUNCTION no_deletes();
`;

/** How many rows the tables of a shop get. */
interface ShopSize {
  readonly customers: number;
  readonly orders: number;
}

/** Creates the database `shop` on the server and fills it. @param size left out: a million rows */
export async function fillShop(
  url: (database?: string) => string,
  { customers, orders }: ShopSize = { customers: 100_000, orders: 900_000 },
): Promise<void> {
  await withClient(url(), (client) => client.query('CREATE DATABASE shop'));
  await withClient(url('shop'), async (client) => {
    await client.query(SCHEMA);
    await client.query(
      `INSERT INTO customers (name, email, since, preferences)
       SELECT 'Customer ' || n, 'customer' || n || '@example.com', date '2020-01-01' + n % 2000,
              jsonb_build_object('news', n % 3 = 0, 'tags', ARRAY[md5(n::text), 'shop'])
       FROM generate_series(1, $1::int) n`,
      [customers],
    );
    await client.query(
      `INSERT INTO orders (customer, state, total, note, token, placed_at)
       SELECT 1 + n % $2::int, (enum_range(NULL::order_state))[1 + n % 4], (n * 37 % 100000) / 100.0,
              CASE WHEN n % 5 = 0 THEN 'leave it at the door, floor ' || n % 40 END,
              md5('order' || n)::uuid, timestamptz '2024-01-01' + n * interval '37 seconds'
       FROM generate_series(1, $1::int) n`,
      [orders, customers],
    );
    await client.query('ANALYZE');
  });
}

/** A table of the demo, for the comparison after a restore. */
export interface TableDigest {
  readonly table: string;
  readonly rows: string;
  /** Sum of a 64-bit hash of every row. The same rows give the same digest in any order. */
  readonly digest: string;
}

/** Digests of the tables of a shop in PostgreSQL. */
export async function digestTables(url: string): Promise<readonly TableDigest[]> {
  return withClient(url, async (client) => {
    const digests: TableDigest[] = [];
    for (const table of ['customers', 'orders']) {
      const { rows } = await client.query<{ rows: string; digest: string }>(
        `SELECT count(*) AS rows, sum(hashtextextended(t::text, 0)::numeric)::text AS digest FROM ${table} t`,
      );
      const [counted] = rows;
      if (counted !== undefined) digests.push({ table, ...counted });
    }
    return digests;
  });
}

export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
