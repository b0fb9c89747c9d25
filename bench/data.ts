import pg from 'pg';

/**
 * Generates realistic data: about 600 MB of COPY text at scale 1, 80 % of it in `orders`. It has integers, text of words,
 * numerics, timestamps, JSON, UUIDs and booleans, and compresses about 2.5 times. Deterministic: all values derive from row
 * numbers.
 */
export async function generate(url: string, scale: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const rows = (count: number) => Math.round(count * scale);
    await client.query(`
      CREATE TABLE words AS SELECT n AS id, substr(md5(n::text), 1, 3 + n % 6) AS word FROM generate_series(0, 2047) n;
      ALTER TABLE words ADD PRIMARY KEY (id);
      CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL, since date, profile jsonb, active boolean);
      CREATE TABLE orders (
        id bigint PRIMARY KEY, customer bigint NOT NULL, state text NOT NULL, total numeric(12,2) NOT NULL, placed_at timestamptz NOT NULL,
        token uuid NOT NULL, comment text, details jsonb, weight double precision, gift boolean NOT NULL);
      CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, payload jsonb NOT NULL);
      INSERT INTO customers
        SELECT n, initcap(a.word || ' ' || b.word), a.word || n || '@example.com', date '2015-01-01' + n % 4000,
               jsonb_build_object('tier', n % 5, 'tags', jsonb_build_array(a.word, b.word), 'news', n % 3 = 0), n % 7 <> 0
        FROM generate_series(1, ${rows(300_000)}) n
        JOIN words a ON a.id = n * 7 % 2048 JOIN words b ON b.id = n * 13 % 2048;
      INSERT INTO orders
        SELECT n, 1 + n * 31 % ${rows(300_000)}, (ARRAY['new','paid','shipped','returned'])[1 + n % 4], (n * 7919::bigint % 1000000) / 100.0,
               timestamptz '2022-01-01' + n * interval '31 seconds', md5('o' || n)::uuid,
               CASE WHEN n % 3 = 0 THEN NULL ELSE a.word || ' ' || b.word || ' ' || c.word || ' ' || a.word || ' ' || d.word END,
               jsonb_build_object('sku', b.word || '-' || n % 9973, 'qty', 1 + n % 9, 'shelf', jsonb_build_object('row', n % 40, 'col', c.word)),
               n % 10007 / 7.0, n % 11 = 0
        FROM generate_series(1, ${rows(2_300_000)}) n
        JOIN words a ON a.id = n * 3 % 2048 JOIN words b ON b.id = n * 17 % 2048
        JOIN words c ON c.id = n * 29 % 2048 JOIN words d ON d.id = n * 101 % 2048;
      INSERT INTO events
        SELECT n, timestamptz '2024-01-01' + n * interval '3 seconds', a.word,
               jsonb_build_object('path', '/' || a.word || '/' || b.word, 'ms', n % 997, 'agent', b.word || '/' || n % 12)
        FROM generate_series(1, ${rows(600_000)}) n JOIN words a ON a.id = n * 5 % 2048 JOIN words b ON b.id = n * 11 % 2048;
      CREATE INDEX orders_by_customer ON orders (customer);
      CREATE INDEX orders_by_time ON orders (placed_at);
      CREATE INDEX events_by_time ON events (at);
      ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers;
    `);
    await client.query('VACUUM ANALYZE');
    await client.query('CHECKPOINT');
  } finally {
    await client.end();
  }
}
