import { Writer } from '../../engines/ycql/restore/writer.ts';
import { scan } from '../../engines/ycql/scan.ts';
import type { CqlSession } from '../../engines/ycql/session.ts';
import { HoldfastError } from '../../model/errors.ts';
import { openSession } from './compare.ts';
import { useCassandra } from './stage.ts';
import { run } from './zoo.ts';

/* Messages of the server can hold values of rows. What Holdfast passes on goes into history, logs, webhooks and stdout. */

const SECRET = 'Geheimnis';

const stage = useCassandra(
  {
    settings: {
      max_mutation_size: '64KiB',
      tombstone_failure_threshold: '50',
      tombstone_warn_threshold: '10',
    },
  },
  'told',
);
let session: CqlSession;
const logged: string[] = [];
const log = (message: string, fields?: Readonly<Record<string, unknown>>) =>
  logged.push(JSON.stringify([message, fields]));

beforeAll(async () => {
  await run(
    stage.cluster,
    'CREATE TYPE told.place (street text, number int)',
    `CREATE TABLE told.t (k text, c text, i int, l bigint, d date, u uuid, tu timeuuid, a ascii, b boolean, m map<text, text>,
       p place, f frozen<place>, tup tuple<int, text>, v vector<float, 2>, dec decimal, dur duration, s text, PRIMARY KEY (k, c))`,
    'CREATE INDEX by_s ON told.t (s)',
    'CREATE TABLE told.wide (k text PRIMARY KEY, a blob, b blob, c blob, d blob, e blob, f blob)',
    `CREATE FUNCTION told.report(v text) RETURNS NULL ON NULL INPUT RETURNS text LANGUAGE java AS 'throw new RuntimeException(v);'`,
  );
  session = await openSession(stage.cluster);
});

afterAll(() => session?.close());

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof HoldfastError) return error;
  throw new Error('it did not fail with a HoldfastError', { cause: error });
}

const text = (value: string) => Buffer.from(value);

/** Writes one row as a restore does. */
async function write(query: string, params: readonly (Buffer | null)[]): Promise<void> {
  const writer = new Writer(session, {
    doing: 'load rows into told.t',
    keyspace: 'told',
    signal: new AbortController().signal,
    log,
  });
  await writer.add([{ query, params }]);
  await writer.finish();
}

const intoColumn = (column: string, value: Buffer) => () =>
  write(`INSERT INTO told.t (k, c, ${column}) VALUES (?, ?, ?)`, [text(SECRET), text(SECRET), value]);

const long = (bytes: number) => text(SECRET.repeat(Math.ceil(bytes / SECRET.length)));

/** What Cassandra refuses, or fails over, though its statement is right. */
const REFUSED: Readonly<Record<string, () => Promise<unknown>>> = {
  'an int of another length': intoColumn('i', text(SECRET)),
  'a bigint of another length': intoColumn('l', text(SECRET)),
  'a date of another length': intoColumn('d', text(SECRET)),
  'a UUID of another length': intoColumn('u', text(SECRET)),
  'a UUID of another version': intoColumn('tu', text('Geheimnis1234567')),
  'text that is no ASCII': intoColumn('a', text(`${SECRET}ä`)),
  'a boolean of another length': intoColumn('b', text(SECRET)),
  'a map that is cut off': intoColumn('m', text(SECRET)),
  'a type with a field too many': intoColumn('f', Buffer.concat(['a', '\0\0\0\x01', SECRET].map(sized))),
  'a type that is cut off': intoColumn('p', text(SECRET)),
  'a tuple that is cut off': intoColumn('tup', text(SECRET)),
  'a vector of another length': intoColumn('v', text(SECRET)),
  'a decimal without digits': intoColumn('dec', text('Geh')),
  'a duration that is cut off': intoColumn('dur', text(SECRET)),
  'a value that is too large for its index': intoColumn('s', long(70_000)),
  'an empty key': () =>
    write('INSERT INTO told.t (k, c, s) VALUES (?, ?, ?)', [text(''), text(SECRET), text(SECRET)]),
  'a key that is too long': () =>
    write('INSERT INTO told.t (k, c, s) VALUES (?, ?, ?)', [long(70_000), text(SECRET), text(SECRET)]),
  'a row that is too large': () =>
    write('INSERT INTO told.wide (k, a, b, c, d, e, f) VALUES (?, ?, ?, ?, ?, ?, ?)', [
      text(SECRET),
      ...Array.from({ length: 6 }, () => long(15_000)),
    ]),
  'a null in a key': () =>
    write('INSERT INTO told.t (k, c, s) VALUES (?, ?, ?)', [text(SECRET), null, text(SECRET)]),
  'a column that is gone': () =>
    write('INSERT INTO told.t (k, c, gone) VALUES (?, ?, ?)', [text(SECRET), text(SECRET), text(SECRET)]),
  'a table that is gone': () => write('INSERT INTO told.gone (k) VALUES (?)', [text(SECRET)]),
  'a row behind tombstones': async () => {
    for (let c = 0; c < 60; c += 1)
      await run(
        stage.cluster,
        `DELETE FROM told.t WHERE k = 'buried' AND c = '${SECRET}${String(c).padStart(2, '0')}'`,
      );
    const pages = scan(session, {
      statement: 'SELECT k, s FROM told.t WHERE k = ? AND c > ?',
      params: [text('buried'), text(SECRET)],
      ...{ pageRows: 1, doing: 'read told.t', signal: new AbortController().signal, log },
    });
    for await (const page of pages) expect(page.rows).toBe(0);
  },
  'a function that raises': () =>
    session.rows('read told.t', 'SELECT told.report(k) FROM told.t WHERE k = ? AND c = ?', [
      text('there'),
      text('row'),
    ]),
  'constants in the statement of a role': () =>
    session.execute(
      'create the roles of the backup',
      `CREATE ROLE told WITH HASHED PASSWORT = '${SECRET}'`,
      [],
      undefined,
      { carried: 'values' },
    ),
};

function sized(value: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(Buffer.byteLength(value));
  return Buffer.concat([length, text(value)]);
}

beforeAll(async () => {
  await run(stage.cluster, `INSERT INTO told.t (k, c, s) VALUES ('there', 'row', '${SECRET}')`);
});

const inHex = Buffer.from(SECRET).toString('hex');

test('a name that the server does not know is told, where the statement carries nothing but names', async () => {
  const error = await failureOf(session.execute('create index', 'CREATE INDEX ON told.t (nowhere)'));
  expect(error.message).toContain('nowhere');
});

test.each(Object.keys(REFUSED))('of %s no value is told', async (what) => {
  const error = await failureOf((REFUSED[what] ?? (() => Promise.resolve()))());
  const told = `${error.message} ${error.remedy}`;
  for (const each of [told, ...logged.splice(0)])
    expect(each).not.toMatch(new RegExp(`${SECRET}|${inHex}`, 'i'));
  expect(told).toMatch(/^Failed to (?:load rows into told\.t|read told\.t|create the roles of the backup)\b/);
});
