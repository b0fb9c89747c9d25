import { Client } from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { eventually } from '../support/processes.ts';
import { startYsqlProxy, type YsqlProxy } from './proxy.ts';
import { hybridOfMicros } from './replication/hybrid-time.ts';
import { UPSTREAM_SETTINGS } from './replication/settings.ts';
import { type SeenTransaction, TestReplication } from './replication/test-client.ts';

/*
 * The one property that everything else rests on: a read as of a hybrid time sees exactly the transactions that a slot sends with a hybrid time no later than
 * that. Writers commit meanwhile, with savepoints, with rollbacks, some of them without waiting for the disk, and read times are named before, between and
 * after them.
 */

const ROWS = 40;
const ROUNDS = 60;
const WRITERS = 6;

let postgres: PostgresServer;
let proxy: YsqlProxy;
const open: Client[] = [];

async function session(url = proxy.url): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  open.push(client);
  return client;
}

/** Each writer counts up rows of all, and leaves a row of its own a transaction. */
async function writer(number: number, url: string, savepoints: boolean, stop: AbortSignal): Promise<void> {
  const client = await session(url);
  if (number % 3 === 2) await client.query('SET synchronous_commit = off');
  for (let turn = 0; !stop.aborted; turn += 1) {
    // The lower row first, or two writers wait for each other.
    const rows = [Math.ceil(Math.random() * ROWS), Math.ceil(Math.random() * ROWS)].sort((a, b) => a - b);
    await client.query('BEGIN');
    for (const row of new Set(rows)) await client.query('UPDATE counted SET n = n + 1 WHERE id = $1', [row]);
    await client.query('SAVEPOINT one');
    await client.query('INSERT INTO written VALUES ($1, $2)', [number, turn]);
    await client.query(savepoints && turn % 4 === 1 ? 'ROLLBACK TO SAVEPOINT one' : 'RELEASE SAVEPOINT one');
    await client.query(turn % 7 === 3 ? 'ROLLBACK' : 'COMMIT');
  }
}

type State = { readonly counted: ReadonlyMap<string, string>; readonly written: ReadonlySet<string> };

/** The rows of a state that a slot's transactions lead to. */
function follow(state: State, transactions: readonly SeenTransaction[]): State {
  const counted = new Map(state.counted);
  const written = new Set(state.written);
  for (const { messages } of transactions) {
    for (const { type, table, row } of messages) {
      if (type === 'U' && table === 'public.counted') counted.set(String(row?.[0]), String(row?.[1]));
      if (type === 'I' && table === 'public.written') written.add(`${row?.[0]} ${row?.[1]}`);
    }
  }
  return { counted, written };
}

async function read(client: Client): Promise<State> {
  const counted = await client.query<{ id: number; n: number }>('SELECT id, n FROM counted');
  const written = await client.query<{ writer: number; turn: number }>('SELECT writer, turn FROM written');
  return {
    counted: new Map(counted.rows.map(({ id, n }) => [String(id), String(n)])),
    written: new Set(written.rows.map(({ writer: by, turn }) => `${by} ${turn}`)),
  };
}

async function readAt(client: Client, readTime: string): Promise<State> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await client.query(`SET LOCAL yb_read_time TO '${readTime}'`);
  const found = await read(client);
  await client.query('COMMIT');
  return found;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()));
  await proxy.stop();
  await postgres.stop();
});

/** Only a line that leaves out what is rolled back to a savepoint sends what a read sees. */
const LINES = [
  { line: '2025.2', savepoints: false },
  { line: '2026.1', savepoints: true },
] as const;

test.each(LINES)(
  'as YugabyteDB $line, what a read at an instant sees and what a slot sends after it leave no gap and do not overlap',
  async ({ line, savepoints }) => {
    postgres = await startPostgres({ settings: UPSTREAM_SETTINGS });
    proxy = await startYsqlProxy({ upstreamUrl: postgres.url(), line });
    const client = await session();
    await client.query('CREATE TABLE counted (id int PRIMARY KEY, n int NOT NULL)');
    await client.query('CREATE TABLE written (writer int, turn int, PRIMARY KEY (writer, turn))');
    await client.query('INSERT INTO counted SELECT id, 0 FROM generate_series(1, $1::int) id', [ROWS]);
    await client.query('CREATE PUBLICATION everything FOR ALL TABLES');
    const stop = new AbortController();
    const writers = Array.from({ length: WRITERS }, (_, number) =>
      writer(number, number % 2 === 0 ? proxy.url : postgres.url(), savepoints, stop.signal),
    );
    const stream = await TestReplication.connect(proxy.url);
    const made = await stream.command(
      'CREATE_REPLICATION_SLOT all_of_it LOGICAL yboutput USE_SNAPSHOT HYBRID_TIME',
    );
    const began = BigInt(made?.snapshot_name ?? 0);
    stream.start('all_of_it', 'everything');
    const reads: { readonly at: bigint; readonly readTime: string; readonly state: State }[] = [];
    const look = async (at: bigint, readTime: string) => {
      reads.push({ at, readTime, state: await readAt(client, readTime) });
    };
    await look(began, `${began} ht`);
    for (let round = 0; round < ROUNDS; round += 1) {
      const clock = await client.query<{ micros: string }>(
        'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros',
      );
      const micros = BigInt(clock.rows[0]?.micros ?? 0);
      const sent = stream.transactions();
      const choices: readonly [bigint, string][] = [
        [hybridOfMicros(micros), String(micros)],
        // A moment ago, when others were about to commit.
        [hybridOfMicros(micros - 1500n), String(micros - 1500n)],
        [hybridOfMicros(micros) + 5n, `${hybridOfMicros(micros) + 5n} ht`],
        [sent.at(-1)?.lsn ?? began, `${sent.at(-1)?.lsn ?? began} ht`],
        [(sent.at(-1)?.lsn ?? began) - 1n, `${(sent.at(-1)?.lsn ?? began) - 1n} ht`],
        [
          sent[Math.floor(sent.length / 2)]?.lsn ?? began,
          `${sent[Math.floor(sent.length / 2)]?.lsn ?? began} ht`,
        ],
      ];
      const choice = choices[round % choices.length];
      if (choice !== undefined && choice[0] >= began) await look(choice[0], choice[1]);
    }
    stop.abort();
    await Promise.all(writers);
    const end = await read(client);
    const base = reads[0]?.state ?? end;
    await eventually('the slot has sent everything', async () => {
      const now = follow(base, stream.transactions());
      return JSON.stringify([...now.counted].sort()) === JSON.stringify([...end.counted].sort());
    });
    const transactions = stream.transactions();
    expect(transactions.length).toBeGreaterThan(100);
    for (const [at, { lsn }] of transactions.entries()) {
      expect(lsn > (transactions[at - 1]?.lsn ?? began)).toBe(true);
    }
    for (const { at, readTime, state } of reads) {
      const expected = follow(
        base,
        transactions.filter(({ lsn }) => lsn <= at),
      );
      expect({ readTime, counted: [...state.counted].sort() }).toEqual({
        readTime,
        counted: [...expected.counted].sort(),
      });
      expect({ readTime, written: [...state.written].sort() }).toEqual({
        readTime,
        written: [...expected.written].sort(),
      });
    }
    await stream.end();
  },
);
