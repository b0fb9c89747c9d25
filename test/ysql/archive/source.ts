import { Client } from 'pg';
import { Dice } from '../../crash/dice.ts';

/*
 * A database that is written to by several sessions at once, in an order that a seed decides, and that knows its own past: after each
 * commit the source itself is asked for a hash of each table. Nothing here knows how changes are archived.
 */

export const TABLES = [
  'public.customers',
  'public.orders',
  'public.events_early',
  'public.events_late',
  'public.log',
  'public.slots',
  'public."Odd ""Names"""',
  'public.stamped',
  'public.indexed',
  'public.audit',
] as const;

const LARGE = 9_000;

const STAMPED = `CREATE TABLE stamped (n int PRIMARY KEY, id bigint GENERATED ALWAYS AS IDENTITY, v text);
  ALTER TABLE stamped REPLICA IDENTITY FULL`;

const SCHEMA = `
  CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
  CREATE DOMAIN tags AS text[];
  CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, code text UNIQUE, balance numeric(12,2), doc text, more bytea,
    labels tags, doubled numeric GENERATED ALWAYS AS (balance * 2) STORED);
  ALTER TABLE customers ALTER doc SET STORAGE EXTERNAL, ALTER more SET STORAGE EXTERNAL;
  CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE, note varchar(40), placed timestamptz, spans int[][]);
  CREATE TABLE events (at int, client int, mood mood, body jsonb, PRIMARY KEY (at, client)) PARTITION BY RANGE (at);
  CREATE TABLE events_early PARTITION OF events FOR VALUES FROM (0) TO (500);
  CREATE TABLE events_late PARTITION OF events FOR VALUES FROM (500) TO (100000);
  CREATE TABLE log (client int, line text, body json, flag bool, code char(6));
  ALTER TABLE log REPLICA IDENTITY FULL;
  CREATE TABLE slots (id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY IMMEDIATE, seat int UNIQUE, doc text);
  ALTER TABLE slots ALTER doc SET STORAGE EXTERNAL;
  CREATE TABLE "Odd ""Names""" ("select" numeric, "Key ""x""" char(5), "v'al" interval, f float8, dropped int, e text,
    PRIMARY KEY ("select", "Key ""x"""));
  ALTER TABLE "Odd ""Names""" DROP COLUMN dropped;
  ${STAMPED};
  CREATE TABLE indexed (id serial PRIMARY KEY, name text NOT NULL, doc text);
  CREATE UNIQUE INDEX indexed_name ON indexed (name);
  ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_name;
  ALTER TABLE indexed ALTER doc SET STORAGE EXTERNAL;
  CREATE TABLE audit (id bigserial PRIMARY KEY, what text);
  CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.audit (what) VALUES (TG_OP || ' ' || coalesce(NEW.id, OLD.id)); RETURN NULL; END $$;
  CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION note();
  ALTER TABLE customers ENABLE ALWAYS TRIGGER noted`;

/**
 * As YugabyteDB has it: each table has a primary key, the default replica identity (key and what changed) or FULL, and nothing is deferrable.
 */
const YUGABYTEDB_SCHEMA = SCHEMA.replace(
  'CREATE TABLE log (client int, line text, body json, flag bool, code char(6));\n  ALTER TABLE log REPLICA IDENTITY FULL;',
  'CREATE TABLE log (id bigserial PRIMARY KEY, client int, line text, body json, flag bool, code char(6));',
)
  .replace(' DEFERRABLE INITIALLY IMMEDIATE', '')
  .replace('  ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_name;\n', '');

export type SourceProduct = 'postgresql' | 'yugabytedb';

const CLIENTS = 4;
/** Each session writes rows of its own, so that the sessions never wait for each other. */
const ROWS_OF_CLIENT = 30;

/** The state of the source after one commit. */
export interface Commit {
  /** Microseconds since 1970: the server's own record of the commit; of YugabyteDB, the clock a moment before. */
  readonly micros: number;
  /** Of YugabyteDB: the clock a moment after. */
  readonly untilMicros?: number;
  readonly xid: number;
  /** By table. */
  readonly hashes: Readonly<Record<string, string>>;
  /** It changed the schema, or what is published of it. */
  readonly alteration?: Alteration;
}

/** What an administrator does to the schema while it is archived: each makes the archive's rows unfit for the tables of an older base. */
export type Alteration = keyof typeof ALTERATIONS;

const ALTERATIONS = {
  'a column comes': (number: number) => [`ALTER TABLE slots ADD COLUMN more_${number} int DEFAULT ${number}`],
  'a column goes': (number: number) => [
    `ALTER TABLE log ADD COLUMN gone_${number} int DEFAULT 1`,
    `ALTER TABLE log DROP COLUMN gone_${number}, ADD COLUMN stays_${number} int`,
  ],
  // The columns are called as before and have the types that they had, and no row is sent.
  'values are rewritten': () => [`ALTER TABLE log ALTER line TYPE text USING md5(line)`],
  'a column is computed otherwise': (number: number) => [
    `ALTER TABLE customers DROP COLUMN doubled, ADD COLUMN doubled numeric GENERATED ALWAYS AS (balance * ${number + 2}) STORED`,
  ],
  // The table that comes is not published.
  'a table is made anew': () => [
    'DROP TABLE stamped',
    STAMPED,
    "INSERT INTO stamped (n, v) VALUES (999, 'anew')",
  ],
  'a table is published no more': (_: number, publication: string) => [
    `ALTER PUBLICATION "${publication}" DROP TABLE ONLY log`,
  ],
  // PostgreSQL sends it; YugabyteDB never does, and the table's tablets are others afterwards.
  'a table is emptied': () => ['TRUNCATE log', `INSERT INTO log (client, line) VALUES (1, 'after')`],
} as const;

export const ALL_ALTERATIONS: Readonly<Record<SourceProduct, readonly Alteration[]>> = {
  postgresql: (Object.keys(ALTERATIONS) as readonly Alteration[]).filter(
    (one) => one !== 'a table is emptied',
  ),
  yugabytedb: Object.keys(ALTERATIONS) as readonly Alteration[],
};

/** A hash of each table's rows, by the server. */
export async function hashTables(client: Client): Promise<Readonly<Record<string, string>>> {
  const queries = TABLES.map(
    (table) =>
      `SELECT '${table.replaceAll("'", "''")}' AS table, count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C")), '') AS hash FROM ONLY ${table} AS t`,
  );
  const { rows } = await client.query<{ table: string; hash: string }>(queries.join(' UNION ALL '));
  return Object.fromEntries(rows.map(({ table, hash }) => [table, hash]));
}

export class WrittenSource {
  readonly commits: Commit[] = [];
  readonly #dice: Dice;
  readonly #clients: readonly Client[];
  readonly #watcher: Client;
  readonly #product: SourceProduct;
  readonly #open = new Map<number, string>();
  #isTruncating = true;

  private constructor(dice: Dice, product: SourceProduct, clients: readonly Client[], watcher: Client) {
    this.#dice = dice;
    this.#product = product;
    this.#clients = clients;
    this.#watcher = watcher;
  }

  /** The server must have `track_commit_timestamp`. */
  static async create(
    url: string,
    seed: number,
    product: SourceProduct = 'postgresql',
  ): Promise<WrittenSource> {
    const clients = Array.from({ length: CLIENTS + 1 }, () => new Client({ connectionString: url }));
    for (const client of clients) await client.connect();
    const [watcher, ...writers] = clients;
    if (watcher === undefined) throw new Error('no session');
    await watcher.query(product === 'yugabytedb' ? YUGABYTEDB_SCHEMA : SCHEMA);
    return new WrittenSource(new Dice(seed), product, writers, watcher);
  }

  async close(): Promise<void> {
    for (const [client] of this.#open) await this.#clients[client]?.query('ROLLBACK');
    for (const client of [...this.#clients, this.#watcher]) await client.end();
  }

  /** Writes until so many more transactions are committed. While a backup holds its locks, no table may be emptied. */
  async write(
    transactions: number,
    options: { readonly truncates: boolean } = { truncates: true },
  ): Promise<void> {
    this.#isTruncating = options.truncates;
    const end = this.commits.length + transactions;
    while (this.commits.length < end) await this.#step();
  }

  /** Commits a row, whatever is open: of a transaction that changed nothing, nothing is sent. */
  async touch(): Promise<void> {
    const xid = await this.#begin(this.#watcher);
    await this.#watcher.query("INSERT INTO audit (what) VALUES ('touched')");
    await this.#commit(this.#watcher, xid);
  }

  /** Ends what is open, so that nothing is. */
  async endAll(): Promise<void> {
    for (const number of [...this.#open.keys()]) {
      const client = this.#clients[number];
      if (client !== undefined) await this.#end(client, number);
    }
  }

  /** Alters the schema by one transaction, while nothing is open. @param publication what the archive publishes */
  async alter(alteration: Alteration, publication: string): Promise<void> {
    const client = this.#clients[0];
    if (client === undefined) return;
    const xid = await this.#begin(client);
    for (const statement of ALTERATIONS[alteration](this.commits.length, publication)) {
      await client.query(statement);
    }
    await this.#commit(client, xid, alteration);
  }

  async #step(): Promise<void> {
    const dice = this.#dice;
    if (this.#product === 'postgresql' && this.#isTruncating && this.#open.size === 0 && dice.chance(0.3))
      return await this.#truncate();
    const number = Math.floor(dice.number() * CLIENTS);
    const client = this.#clients[number];
    if (client === undefined) return;
    if (!this.#open.has(number)) {
      this.#open.set(number, await this.#begin(client));
    }
    const statements = dice.chance(0.02) ? 1 : Math.ceil(dice.number() * 6);
    for (let i = 0; i < statements; i += 1) await this.#statement(client, number);
    if (dice.chance(0.02))
      await client.query(
        `INSERT INTO log (client, line, body, flag, code) SELECT ${number}, 'bulk ' || i, '{"n": 1}', true, 'x' FROM generate_series(1, 3000) i`,
      );
    if (dice.chance(0.02))
      await client.query(`DELETE FROM log WHERE client = ${number} AND line LIKE 'bulk%'`);
    if (dice.chance(0.5)) await this.#end(client, number);
  }

  async #end(client: Client, number: number): Promise<void> {
    const xid = this.#open.get(number) ?? '';
    this.#open.delete(number);
    if (this.#dice.chance(0.15)) {
      await client.query('ROLLBACK');
      return;
    }
    await this.#commit(client, xid);
  }

  /** Returns the transaction's number; YugabyteDB has none. */
  async #begin(client: Client): Promise<string> {
    await client.query('BEGIN');
    if (this.#product === 'yugabytedb') return '0';
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
    return rows[0]?.xid ?? '';
  }

  /** When it committed: by the server's record, which YugabyteDB has none of. */
  async #commit(client: Client, xid: string, alteration?: Alteration): Promise<void> {
    const ask = async (when: string, values: readonly string[] = []) => {
      const sql = `SELECT (extract(epoch FROM ${when}) * 1000000)::bigint::text AS micros`;
      const { rows } = await this.#watcher.query<{ micros: string | null }>(sql, [...values]);
      return Number(rows[0]?.micros);
    };
    const before = await ask('clock_timestamp()');
    await client.query('COMMIT');
    const isNumbered = this.#product === 'postgresql';
    this.commits.push({
      ...(isNumbered
        ? { micros: await ask('pg_xact_commit_timestamp($1::text::xid)', [xid]) }
        : { micros: before, untilMicros: await ask('clock_timestamp()') }),
      xid: Number(xid),
      hashes: await hashTables(this.#watcher),
      ...(alteration === undefined ? {} : { alteration }),
    });
  }

  async #truncate(): Promise<void> {
    const client = this.#clients[0];
    if (client === undefined) return;
    const xid = await this.#begin(client);
    await this.#statement(client, 0);
    await client.query(
      this.#dice.pick([
        'TRUNCATE log',
        'TRUNCATE orders RESTART IDENTITY',
        'TRUNCATE customers CASCADE',
        'TRUNCATE events',
        'TRUNCATE stamped, slots',
      ]),
    );
    await this.#statement(client, 0);
    await this.#commit(client, xid);
  }

  /** One statement, in a savepoint of its own that is sometimes rolled back: whatever the source refuses doesn't matter. */
  async #statement(client: Client, number: number): Promise<void> {
    await client.query('SAVEPOINT s');
    try {
      await client.query(this.#anyStatement(number));
      await client.query(this.#dice.chance(0.1) ? 'ROLLBACK TO s' : 'RELEASE s');
    } catch (error) {
      // Unique and foreign keys refuse some; anything else is a fault of the test.
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (!code.startsWith('23')) throw error;
      await client.query('ROLLBACK TO s');
    }
  }

  #anyStatement(number: number): string {
    const dice = this.#dice;
    const any = (most: number) => Math.floor(dice.number() * most);
    const id = () => number * 1000 + any(ROWS_OF_CLIENT);
    const word = () => dice.pick(["''", "'ä €'", "E'a\\tb\\\\n'", "'NULL'", '\'{"x",}\'', `'w${any(100)}'`]);
    const large = () => (dice.chance(0.3) ? `repeat('${any(10)}', ${LARGE})` : `'d${any(10)}'`);
    const nullable = (text: string) => (dice.chance(0.2) ? 'NULL' : text);
    // YugabyteDB's rows have no place.
    const place = this.#product === 'yugabytedb' ? 'id' : 'ctid';
    const mine = (column: string) => `${column} BETWEEN ${number * 1000} AND ${number * 1000 + 999}`;
    const [a, b] = [id(), id()];
    return dice.pick<() => string>([
      () =>
        `INSERT INTO customers (id, name, code, balance, doc, more, labels) VALUES (${a}, ${word()}, ${nullable(`'c${a}'`)}, ${any(1000)}.${any(90) + 10}, ${large()}, decode(md5('${any(9)}'), 'hex'), ${nullable(`ARRAY[${word()}, NULL]`)})`,
      () => `UPDATE customers SET balance = balance + 1 WHERE ${mine('id')}`,
      () => `UPDATE customers SET name = ${word()}, labels = '{}' WHERE id = ${a}`,
      () => `UPDATE customers SET doc = ${large()} WHERE id = ${a}`,
      () => `UPDATE customers SET id = ${b} WHERE id = ${a}`,
      () => `UPDATE customers SET code = 'c${b}', balance = NULL WHERE id = ${a}`,
      () => `DELETE FROM customers WHERE id = ${a}`,
      () =>
        `INSERT INTO orders (customer, note, placed, spans) SELECT id, ${word()}, '2026-11-29 01:02:03.456789+02', ${nullable("'{{1,2},{3,4}}'")} FROM customers WHERE id = ${a}`,
      () => `UPDATE orders SET note = ${nullable(word())} WHERE ${mine('customer')} AND id % 3 = ${any(3)}`,
      () => `DELETE FROM orders WHERE ${mine('customer')} AND id % 4 = ${any(4)}`,
      () =>
        `INSERT INTO events VALUES (${any(1000)}, ${number}, ${nullable("'happy'")}, '{"n": ${any(9)}, "t": [null, ""]}')`,
      () =>
        `UPDATE events SET at = ${any(1000)} WHERE client = ${number} AND at = (SELECT min(at) FROM events WHERE client = ${number})`,
      () => `UPDATE events SET mood = 'sad' WHERE client = ${number} AND at % 3 = 0`,
      () => `DELETE FROM events WHERE client = ${number} AND at % 5 = ${any(5)}`,
      () =>
        `INSERT INTO log (client, line, body, flag, code) SELECT ${number}, ${nullable(word())}, ${nullable('\'{"a":  1}\'')}, ${nullable('true')}, 'c${any(3)}' FROM generate_series(1, ${1 + any(3)})`,
      () =>
        `UPDATE log SET line = ${word()}, flag = NOT flag WHERE ${place} = (SELECT min(${place}) FROM log WHERE client = ${number})`,
      () => `DELETE FROM log WHERE ${place} = (SELECT max(${place}) FROM log WHERE client = ${number})`,
      () => `INSERT INTO slots VALUES (${a}, ${a}, ${b}, ${large()})`,
      () =>
        `UPDATE slots SET place = CASE place WHEN ${a} THEN ${b} ELSE ${a} END WHERE place IN (${a}, ${b})`,
      () => `UPDATE slots SET seat = NULL WHERE id = ${a}`,
      () => `UPDATE slots SET seat = ${b} WHERE id = ${a}`,
      () =>
        `DO $$ BEGIN UPDATE slots SET id = 999000 + ${number} WHERE id = ${a}; UPDATE slots SET id = ${a} WHERE id = ${b}; UPDATE slots SET id = ${b} WHERE id = 999000 + ${number}; END $$`,
      () => `DELETE FROM slots WHERE id = ${a}`,
      () =>
        `INSERT INTO "Odd ""Names""" VALUES (${number}.${any(4)}0, 'k${any(3)}', '${any(9)} days 01:00', 0.1 + ${any(3)}, ${nullable(word())})`,
      () =>
        `UPDATE "Odd ""Names""" SET "select" = "select"::numeric(8,1), f = 'NaN' WHERE trunc("select") = ${number}`,
      () =>
        `UPDATE "Odd ""Names""" SET "select" = "select"::numeric(8,3), "v'al" = NULL WHERE trunc("select") = ${number}`,
      () => `DELETE FROM "Odd ""Names""" WHERE trunc("select") = ${number} AND "Key ""x""" = 'k1'`,
      () => `INSERT INTO stamped (n, v) VALUES (${a}, ${word()})`,
      () => `UPDATE stamped SET v = ${large()} WHERE n = ${a}`,
      () => `DELETE FROM stamped WHERE n = ${a}`,
      () => `INSERT INTO indexed (name, doc) VALUES ('n${a}', ${large()})`,
      () => `UPDATE indexed SET name = 'n${b}' WHERE name = 'n${a}'`,
      () => `UPDATE indexed SET id = id + 100000 WHERE name = 'n${a}'`,
      () => `DELETE FROM indexed WHERE name = 'n${a}'`,
    ])();
  }
}
