import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Dice } from '../../crash/dice.ts';
import { query } from '../../support/sql.ts';

/*
 * A database that proves by itself whether each of its transactions is there once: every transaction notes itself in `journal` and moves
 * a balance, so that a transaction which is lost or applied twice shows. Writers go on after the server was killed.
 */

const ACCOUNTS = 20;

export const LEDGER = [
  'CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, doc text)',
  'ALTER TABLE account ALTER doc SET STORAGE EXTERNAL',
  `INSERT INTO account SELECT i, 0, repeat('x', 5000) FROM generate_series(1, ${ACCOUNTS}) i`,
  'CREATE TABLE journal (xid bigint PRIMARY KEY, account int NOT NULL REFERENCES account, amount bigint NOT NULL)',
  'CREATE TABLE bag (account int, word text)',
  'ALTER TABLE bag REPLICA IDENTITY FULL',
  'CREATE TABLE bulk (xid bigint, line int, PRIMARY KEY (xid, line))',
] as const;

const BULK_ROWS = 20_000;
const AGAIN_AFTER_MS = 200;

export class LedgerWriter {
  readonly #url: string;
  readonly #dice: Dice;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  constructor(url: string, dice: Dice) {
    this.#url = url;
    this.#dice = dice;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const client = new Client({ connectionString: this.#url });
      client.on('error', () => undefined);
      try {
        await client.connect();
        while (!this.#stopping.signal.aborted) {
          await this.#transaction(client);
          await sleep(this.#dice.between(0, 40));
        }
      } catch {
        // The server is being killed now and then. What was committed all the same, the journal tells.
        await sleep(AGAIN_AFTER_MS);
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }

  async #transaction(client: Client): Promise<void> {
    const dice = this.#dice;
    const account = 1 + Math.floor(dice.number() * ACCOUNTS);
    const amount = Math.floor(dice.between(-100, 100));
    await client.query('BEGIN');
    await client.query('INSERT INTO journal VALUES (pg_current_xact_id()::text::bigint, $1, $2)', [
      account,
      amount,
    ]);
    await client.query('UPDATE account SET balance = balance + $2 WHERE id = $1', [account, amount]);
    await client.query("INSERT INTO bag VALUES ($1, 'word')", [account]);
    if (dice.chance(0.01)) {
      await client.query(
        'INSERT INTO bulk SELECT pg_current_xact_id()::text::bigint, i FROM generate_series(1, $1::int) i',
        [BULK_ROWS],
      );
    }
    await client.query(dice.chance(0.1) ? 'ROLLBACK' : 'COMMIT');
  }
}

/** The transactions that the database has. */
export async function journalOf(url: string): Promise<ReadonlySet<number>> {
  const rows = await query(url, 'SELECT xid::text AS xid FROM journal');
  return new Set(rows.map(({ xid }) => Number(xid)));
}

/** What in the database contradicts its own journal. */
export async function contradictions(url: string): Promise<readonly string[]> {
  const rows = await query(
    url,
    `SELECT 'account ' || a.id || ' has ' || a.balance || ', its entries make ' || coalesce(sum(j.amount), 0) AS told
       FROM account a LEFT JOIN journal j ON j.account = a.id GROUP BY a.id HAVING a.balance <> coalesce(sum(j.amount), 0)
     UNION ALL SELECT 'account ' || account || ' lost its text' FROM (SELECT id AS account FROM account WHERE doc <> repeat('x', 5000)) lost
     UNION ALL SELECT 'the bag has ' || b.n || ' words, the journal ' || j.n || ' entries'
       FROM (SELECT count(*) AS n FROM bag) b, (SELECT count(*) AS n FROM journal) j WHERE b.n <> j.n
     UNION ALL SELECT 'transaction ' || xid || ' has ' || count(*) || ' lines' FROM bulk GROUP BY xid HAVING count(*) <> ${BULK_ROWS}
     UNION ALL SELECT 'transaction ' || xid || ' has lines and no entry' FROM (SELECT DISTINCT xid FROM bulk) b
       WHERE NOT EXISTS (SELECT FROM journal j WHERE j.xid = b.xid)`,
  );
  return rows.map(({ told }) => String(told));
}
