import { Client } from 'pg';

/** Tables of every kind that an archive must carry, and one that it must leave alone. */
export const TABLES = [
  'CREATE TABLE journal (id bigint PRIMARY KEY, note text)',
  'CREATE TABLE item (id bigint PRIMARY KEY, name text, amount numeric, big text, tags text[], UNIQUE (name))',
  'CREATE TABLE keyless (a int, b text)',
  'ALTER TABLE keyless REPLICA IDENTITY FULL',
  'CREATE TABLE part (id int, day date, v double precision, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)',
  `CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')`,
  `CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2026-07-01') TO ('2027-01-01')`,
  'CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, double int GENERATED ALWAYS AS (length(v)) STORED)',
  'CREATE TABLE naked (a int)',
] as const;

/** Compared by content; `naked` has no identity and is not archived. */
export const COMPARED = ['journal', 'item', 'keyless', 'part', 'numbered'] as const;

/** Commits random transactions; some roll back, a few are large, TRUNCATE now and then. */
export class Writer {
  readonly #client: Client;
  readonly #random: () => number;
  #committed = 0;

  private constructor(client: Client, seed: number) {
    this.#client = client;
    this.#random = generator(seed);
  }

  static async connect(url: string, seed: number): Promise<Writer> {
    const client = new Client({ connectionString: url });
    await client.connect();
    return new Writer(client, seed);
  }

  get committed(): number {
    return this.#committed;
  }

  close(): Promise<void> {
    return this.#client.end();
  }

  async transactions(count: number): Promise<void> {
    for (let done = 0; done < count; done++) await this.#transaction();
  }

  /** One whose changes are larger than a segment, compressed too. */
  async large(rows: number): Promise<void> {
    await this.#commit(async () => {
      await this.#client.query(
        `INSERT INTO item SELECT 1000000 + i, 'large ' || i, random(), md5(random()::text) || md5(random()::text), NULL
         FROM generate_series($2::int, $2::int + $1::int) i ON CONFLICT DO NOTHING`,
        [rows, this.#committed * 100_000],
      );
    });
  }

  async #transaction(): Promise<void> {
    const isRolledBack = this.#random() < 0.1;
    await this.#commit(async () => {
      const steps = 1 + Math.floor(this.#random() * 4);
      for (let step = 0; step < steps; step++) await this.#change();
      // What failed within a savepoint is not part of the transaction.
      if (this.#random() < 0.2) {
        await this.#client.query('SAVEPOINT s');
        await this.#change();
        await this.#client.query('ROLLBACK TO s');
      }
    }, isRolledBack);
  }

  async #commit(work: () => Promise<void>, isRolledBack = false): Promise<void> {
    await this.#client.query('BEGIN');
    await work();
    await this.#client.query('INSERT INTO journal VALUES ($1, $2)', [
      isRolledBack ? -1 : this.#committed + 1,
      'it’s \\ "noted"',
    ]);
    await this.#client.query(isRolledBack ? 'ROLLBACK' : 'COMMIT');
    if (!isRolledBack) this.#committed += 1;
  }

  async #change(): Promise<void> {
    const id = Math.floor(this.#random() * 50);
    const kind = Math.floor(this.#random() * 10);
    const query = (text: string, values: readonly unknown[] = []) => this.#client.query(text, [...values]);
    switch (kind) {
      case 0:
      case 1:
        await query(
          `INSERT INTO item VALUES ($1::int, 'n' || $1::int || '-' || $2::float8, $2::float8, repeat(md5($2::float8::text), 300), ARRAY['a,b', NULL, $2::float8::text])
           ON CONFLICT (id) DO UPDATE SET amount = excluded.amount`,
          [id, this.#random()],
        );
        return;
      case 2:
        // The large value is untouched and not sent.
        await query('UPDATE item SET amount = coalesce(amount, 0) + 1 WHERE id = $1::int', [id]);
        return;
      case 3:
        await query('DELETE FROM item WHERE id = $1', [id]);
        return;
      case 4:
        await query(
          'UPDATE item SET id = $2::int WHERE id = $1::int AND NOT EXISTS (SELECT FROM item WHERE id = $2::int)',
          [id, id + 50],
        );
        return;
      case 5:
        await query('INSERT INTO keyless VALUES ($1::int, $2::text), ($1::int, $2::text)', [
          id,
          id % 3 === 0 ? null : `b${id}`,
        ]);
        return;
      case 6:
        await query('DELETE FROM keyless WHERE ctid = (SELECT ctid FROM keyless WHERE a = $1 LIMIT 1)', [id]);
        return;
      case 7:
        await query(
          `INSERT INTO part VALUES ($1::int, date '2026-01-01' + $1::int * 7, $2::float8) ON CONFLICT (id, day) DO UPDATE SET v = excluded.v`,
          [id, this.#random()],
        );
        return;
      case 8:
        await query('INSERT INTO numbered (v) VALUES ($1)', [`v${id}`]);
        return;
      default:
        if (this.#random() < 0.1) await query('TRUNCATE keyless');
        // An application's update of a table without identity must go on working.
        await query('INSERT INTO naked VALUES ($1)', [id]);
        await query('UPDATE naked SET a = a + 1');
    }
  }
}

/** mulberry32 */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
