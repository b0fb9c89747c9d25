import { replay } from '../../../engines/ysql/archive/apply.ts';
import { Cut } from '../../../engines/ysql/archive/cut.ts';
import { createPosition, readPosition, readRowCounts } from '../../../engines/ysql/archive/position.ts';
import { parseConnectionUrl } from '../../../engines/ysql/server/connection-url.ts';
import { type Session, withSession } from '../../../engines/ysql/server/session.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { query } from '../../support/sql.ts';
import * as write from './pgoutput.ts';

/* Streams that no sound archive has, written by hand, against real tables. */

const T = 1_796_000_000_000_000n;
const [INT, BOX] = [23, 603];
const PLAIN = write.relation(1, 'public', 'plain', [{ name: 'id', isKey: true, type: INT }, { name: 'v' }]);
const BAG = write.relation(2, 'public', 'bag', [{ name: 'v', isKey: true }], 'f');
const PARENT = write.relation(3, 'public', 'parent', [{ name: 'id', isKey: true, type: INT }]);
const BOXES = write.relation(4, 'public', 'boxes', [
  { name: 'id', isKey: true, type: INT },
  { name: 'b', type: BOX },
]);
/** Its columns are named as replay might name its own. */
const NAMED = write.relation(5, 'public', 'named', [
  { name: 'k0', isKey: true, type: INT },
  { name: 'v0', type: INT },
  { name: 'v1' },
  { name: 'at' },
]);

let postgres: PostgresServer;

beforeAll(async () => {
  postgres = await startPostgres();
});

afterAll(async () => {
  await postgres?.stop();
});

let databases = 0;

/** A database of its own with one row in each table. */
async function freshDatabase(): Promise<string> {
  databases += 1;
  const name = `apply_${databases}`;
  await query(postgres.url(), `CREATE DATABASE ${name}`);
  await query(
    postgres.url(name),
    `CREATE SCHEMA holdfast_restore;
     CREATE TABLE plain (id int PRIMARY KEY, v text); INSERT INTO plain VALUES (1, 'base');
     CREATE TABLE bag (v text); INSERT INTO bag VALUES ('base'), ('base');
     CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
     CREATE TABLE child (parent int REFERENCES parent);
     CREATE TABLE boxes (id int PRIMARY KEY, b box);
     CREATE TABLE named (k0 int PRIMARY KEY, v0 int, v1 text, at text); INSERT INTO named VALUES (1, 1, 'one', 'a'), (2, 2, 'two', 'b')`,
  );
  return name;
}

const transaction = (number: number, ...changes: readonly Buffer[]): readonly Buffer[] => [
  write.begin(BigInt(number * 100), T + BigInt(number), 200 + number),
  ...changes,
  write.commit(BigInt(number * 100), BigInt(number * 100 + 50), T + BigInt(number)),
];

async function* streamOf(messages: readonly Buffer[], failAt = messages.length): AsyncGenerator<Uint8Array> {
  for (const [at, message] of messages.entries()) {
    if (at === failAt) throw new Error('the store went away');
    yield message;
  }
}

async function apply(
  session: Session,
  messages: readonly Buffer[],
  failAt?: number,
  more: Partial<Parameters<typeof replay>[2]> = {},
) {
  await createPosition(session);
  const from = await readPosition(session);
  const cut = new Cut({
    instantMicros: T + 1_000n,
    sees: ({ xid }) => xid < 200,
    baseMicros: T,
    applied: from,
  });
  return await replay(session, streamOf(messages, failAt), { cut, from, includes: () => true, ...more });
}

function within<T>(database: string, work: (session: Session) => Promise<T>, role?: string): Promise<T> {
  const url = new URL(postgres.url(database));
  if (role !== undefined) [url.username, url.password] = [role, role];
  return withSession(parseConnectionUrl(url.href), database, new AbortController().signal, work);
}

const plain = (database: string) => query(postgres.url(database), 'SELECT id, v FROM plain ORDER BY id');

test.each<readonly [string, string, readonly Buffer[]]>([
  ['inserts a row that is there', 'REPLAY_DIFFERS', transaction(1, PLAIN, write.insert(1, ['1', 'x']))],
  ['updates a row that is not there', 'REPLAY_DIFFERS', transaction(1, PLAIN, write.update(1, ['2', 'x']))],
  ['deletes a row that is not there', 'REPLAY_DIFFERS', transaction(1, PLAIN, write.remove(1, ['2', null]))],
  [
    'deletes more equal rows than there are',
    'REPLAY_DIFFERS',
    transaction(1, BAG, ...Array<Buffer>(3).fill(write.remove(2, ['base'], 'O'))),
  ],
  [
    'has a transaction twice',
    'ARCHIVE_ORDER',
    [...transaction(1, PLAIN, write.insert(1, ['2', 'x'])), ...transaction(1, write.insert(1, ['3', 'x']))],
  ],
  ['has a change before its table', 'ARCHIVE_INCONSISTENT', transaction(1, write.insert(1, ['2', 'x']))],
  ['has a change outside of transactions', 'ARCHIVE_INCONSISTENT', [PLAIN, write.insert(1, ['2', 'x'])]],
  ['ends within a transaction', 'ARCHIVE_INCONSISTENT', transaction(1, PLAIN).slice(0, -1)],
  [
    'lacks the end of a transaction',
    'ARCHIVE_INCONSISTENT',
    [...transaction(1).slice(0, -1), ...transaction(2)],
  ],
  [
    'has a new row that lacks a value',
    'ARCHIVE_INCONSISTENT',
    transaction(1, PLAIN, write.insert(1, ['2', undefined])),
  ],
  ['has a row of another width', 'ARCHIVE_INCONSISTENT', transaction(1, PLAIN, write.insert(1, ['2']))],
  [
    'has a column that came later',
    'REPLAY_SCHEMA_CHANGED',
    transaction(
      1,
      write.relation(1, 'public', 'plain', [
        { name: 'id', isKey: true, type: INT },
        { name: 'v' },
        { name: 'w' },
      ]),
      write.insert(1, ['2', 'x', 'y']),
    ),
  ],
  [
    'has a column of another type',
    'REPLAY_SCHEMA_CHANGED',
    transaction(
      1,
      write.relation(1, 'public', 'plain', [
        { name: 'id', isKey: true, type: INT },
        { name: 'v', type: INT },
      ]),
      write.insert(1, ['2', '3']),
    ),
  ],
  [
    'has a table that came later',
    'REPLAY_SCHEMA_CHANGED',
    transaction(1, write.relation(9, 'public', 'later', [{ name: 'id' }]), write.insert(9, ['1'])),
  ],
])('a stream that %s is refused by name, and changes nothing', async (_, code, messages) => {
  const database = await freshDatabase();
  await expect(within(database, (session) => apply(session, messages))).rejects.toMatchObject({
    code,
    transient: false,
  });
  expect(await plain(database)).toEqual([{ id: 1, v: 'base' }]);
  expect(await query(postgres.url(database), 'SELECT v FROM bag')).toEqual([{ v: 'base' }, { v: 'base' }]);
});

test('wherever a replay is interrupted, the next attempt goes on, and nothing is lost or applied twice', async () => {
  const many = Array.from({ length: 9_000 }, (_, at) => write.insert(1, [String(10 + at), 'many']));
  const messages = [
    ...transaction(1, PLAIN, BAG, PARENT, write.update(1, ['1', 'first']), write.insert(2, ['base'])),
    ...transaction(2, ...many),
    // The foreign key keeps the server from a TRUNCATE, and the child's rows don't matter.
    ...transaction(3, write.truncate([3]), write.insert(3, ['5'])),
    ...transaction(
      4,
      write.insert(1, ['2', 'last']),
      write.remove(2, ['base'], 'O'),
      write.remove(2, ['base'], 'O'),
    ),
    // Later than the instant.
    write.begin(500n, T + 1_001n, 300),
    write.insert(1, ['3', 'too late']),
    write.commit(500n, 550n, T + 1_001n),
  ];
  const database = await freshDatabase();
  const positions: (bigint | undefined)[] = [];
  for (const failAt of [3, 8, 5_000, 9_008, 9_012, 9_013, messages.length]) {
    const attempt = within(database, (session) => apply(session, messages, failAt));
    if (failAt < messages.length) await expect(attempt).rejects.toThrow('the store went away');
    else expect(await attempt).toMatchObject({ xid: 204, transactions: 4, changes: 9_007 });
    positions.push((await within(database, readPosition))?.commitLsn);
  }
  // What was folded and not full is given up with its attempt; the large transaction is committed whole.
  expect(positions).toEqual([undefined, undefined, undefined, undefined, 200n, 300n, 400n]);
  expect(
    await query(postgres.url(database), `SELECT v, count(*)::int AS rows FROM plain GROUP BY v ORDER BY v`),
  ).toEqual([
    { v: 'first', rows: 1 },
    { v: 'last', rows: 1 },
    { v: 'many', rows: 9_000 },
  ]);
  expect(await query(postgres.url(database), 'SELECT id FROM parent')).toEqual([{ id: 5 }]);
  expect(await query(postgres.url(database), 'SELECT v FROM bag')).toEqual([{ v: 'base' }]);
  expect(Object.fromEntries(await within(database, readRowCounts))).toEqual({
    '"public"."plain"': { isTruncated: false, rows: 9_001 },
    '"public"."bag"': { isTruncated: false, rows: -1 },
    '"public"."parent"': { isTruncated: true, rows: 1 },
  });
});

test('a role that may not switch triggers off is told what to grant', async () => {
  const database = await freshDatabase();
  await query(
    postgres.url(database),
    "CREATE ROLE restorer LOGIN PASSWORD 'restorer'; GRANT ALL ON ALL TABLES IN SCHEMA public TO restorer; GRANT ALL ON SCHEMA holdfast_restore TO restorer",
  );
  const messages = transaction(1, PLAIN, write.insert(1, ['2', 'x']));
  await expect(within(database, (session) => apply(session, messages), 'restorer')).rejects.toMatchObject({
    code: 'REPLAY_PRIVILEGE',
    remedy: expect.stringMatching(/GRANT SET ON PARAMETER session_replication_role/),
  });
  await query(postgres.url(database), 'GRANT SET ON PARAMETER session_replication_role TO restorer');
  await within(database, (session) => apply(session, messages), 'restorer');
  expect(await plain(database)).toHaveLength(2);
});

const applied = async (database: string, ...changes: readonly Buffer[]) =>
  await within(database, (session) => apply(session, transaction(1, ...changes)));

test('an update that leaves out a key that is stored out of line changes the row of the old key', async () => {
  const database = await freshDatabase();
  await applied(database, PLAIN, write.update(1, [undefined, 'x'], { of: 'K', row: ['1', null] }));
  expect(await plain(database)).toEqual([{ id: 1, v: 'x' }]);
});

test('values of a type that has no comma between those of its arrays come as they are', async () => {
  const database = await freshDatabase();
  await applied(
    database,
    BOXES,
    write.insert(4, ['1', '(1,1),(0,0)']),
    write.insert(4, ['2', '(2,2),(0,0)']),
  );
  const messages = transaction(
    2,
    BOXES,
    write.update(4, ['1', '(3,3),(0,0)']),
    write.update(4, ['2', '(4,4),(0,0)']),
  );
  await within(database, (session) => apply(session, messages));
  expect(await query(postgres.url(database), 'SELECT b::text AS b FROM boxes ORDER BY id')).toEqual([
    { b: '(3,3),(0,0)' },
    { b: '(4,4),(0,0)' },
  ]);
});

test.each([
  ['in place', ''],
  ['by new ones', 'CREATE UNIQUE INDEX ON named (v0)'],
])('a table may name its columns as it likes: rows are changed %s', async (_, index) => {
  const database = await freshDatabase();
  await query(postgres.url(database), index);
  await applied(
    database,
    NAMED,
    write.update(5, ['1', '5', 'changed', undefined]),
    write.remove(5, ['2', null, null, null]),
    write.insert(5, ['3', '3', 'three', 'c']),
    write.update(5, ['4', '3', 'three', undefined], { of: 'K', row: ['3', null, null, null] }),
  );
  expect(await query(postgres.url(database), 'SELECT * FROM named ORDER BY k0')).toEqual([
    { k0: 1, v0: 5, v1: 'changed', at: 'a' },
    { k0: 4, v0: 3, v1: 'three', at: 'c' },
  ]);
});

test.each([
  ['TRUNCATE', 'plain', [1]],
  ['DELETE', 'parent', [3]],
] as const)(
  'a trigger of %s that fires always does not act a second time where %s is emptied',
  async (event, table, oids) => {
    const database = await freshDatabase();
    await query(
      postgres.url(database),
      `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.bag VALUES ('noted'); RETURN NULL; END $$;
     CREATE TRIGGER noted AFTER ${event} ON ${table} EXECUTE FUNCTION note(); ALTER TABLE ${table} ENABLE ALWAYS TRIGGER noted`,
    );
    // The source's trigger wrote its row, which is archived like every other.
    await applied(database, PLAIN, BAG, PARENT, write.truncate(oids), write.insert(2, ['noted']));
    expect(await query(postgres.url(database), "SELECT v FROM bag WHERE v = 'noted'")).toEqual([
      { v: 'noted' },
    ]);
    expect(
      await query(postgres.url(database), "SELECT tgenabled AS is FROM pg_trigger WHERE tgname = 'noted'"),
    ).toEqual([{ is: 'A' }]);
  },
);

test('rows that are few among those of tables that are left out do not gather until there are many', async () => {
  const database = await freshDatabase();
  const large = write.insert(2, ['x'.repeat(1024 * 1024)]);
  const few = Array.from({ length: 20 }, (_, at) =>
    transaction(at + 1, PLAIN, BAG, large, ...(at % 6 === 0 ? [write.insert(1, [`${at + 10}`, 'few'])] : [])),
  );
  let commits = 0;
  const position = await within(database, (session) =>
    apply(session, few.flat(), undefined, {
      includes: ({ table }) => table === 'plain',
      progress: () => {
        commits += 1;
      },
    }),
  );
  expect(position).toMatchObject({ transactions: 20, changes: 4 });
  expect(commits).toBe(2);
  expect(await plain(database)).toHaveLength(5);
});
