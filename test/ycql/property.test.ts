import { type CassandraCluster, startCassandra } from '../../parts/cassandra.ts';
import { openSession } from './compare.ts';
import { runPropertyCampaign } from './property/campaign.ts';
import { differencesOf, type Expectation } from './property/oracle.ts';
import { type Cells, NOTHING_READ, type ReadTable, readTable } from './property/read-table.ts';
import { ddlOf, type RandomTable } from './property/schemas.ts';
import { plainClient } from './zoo.ts';

/** A sample of the campaign: `node test/ycql/property/main.ts --schemas 200 --seed N`. */
const SEED = Number(process.env.PROPERTY_SEED ?? 20261129);

let cluster: CassandraCluster;

beforeAll(async () => {
  cluster = await startCassandra({ durable: false });
});

afterAll(() => cluster?.stop());

test('whatever the schema and the rows, each cell comes back in value, time of writing and time left, or is a listed loss', async () => {
  const lines: string[] = [];
  const { problems, counts, rows } = await runPropertyCampaign(cluster, {
    ...{ seed: SEED, numbers: [0, 1, 2, 3, 4, 5], rows: 24, atOnce: 3 },
    say: (line) => lines.push(line),
  });
  // What happened, schema by schema, only where it is needed.
  expect(problems.length === 0 ? [] : lines).toEqual([]);
  expect(counts).toMatchObject({ 'through the YCQL proxy': 2, 'into a new keyspace': 4 });
  expect(rows).toBeGreaterThan(50);
}, 600_000);

test('a row that is nothing but a collection with parts of different times takes the place of the target’s as a whole', async () => {
  const { problems, counts } = await runPropertyCampaign(cluster, {
    ...{ seed: 5, numbers: [15], rows: 40, atOnce: 1 },
    say: () => undefined,
  });
  expect(problems).toEqual([]);
  expect(counts).toMatchObject({ 'over newer data': 1 });
}, 300_000);

describe('the oracle of the property', () => {
  const TABLE: RandomTable = {
    name: 't',
    partition: [{ name: 'p', type: 'int' }],
    clustering: [{ name: 'c', type: 'int', order: 'ASC' }],
    statics: [
      { name: 's', type: 'text' },
      { name: 'free', type: 'text' },
    ],
    regulars: [
      { name: 'v', type: 'text' },
      { name: 'w', type: 'int' },
      { name: 'm', type: 'map<text, int>' },
      { name: 'l', type: 'list<int>' },
    ],
    isCounter: false,
    defaultTtl: 0,
  };

  /** Of each partition; `P` stands for its key. */
  const STATEMENTS = [
    "INSERT INTO t (p, c, v) VALUES (P, 1, 'v') USING TIMESTAMP 1000",
    'UPDATE t USING TIMESTAMP 1001 AND TTL 50000 SET w = 5 WHERE p = P AND c = 1',
    "UPDATE t USING TIMESTAMP 1002 SET m = m + {'a': 1} WHERE p = P AND c = 1",
    "UPDATE t USING TIMESTAMP 1003 AND TTL 50000 SET m = m + {'b': 2} WHERE p = P AND c = 1",
    'UPDATE t USING TIMESTAMP 1004 SET l = [1, 2, 3] WHERE p = P AND c = 1',
    "UPDATE t USING TIMESTAMP 1005 SET s = 's' WHERE p = P",
    'INSERT INTO t (p, c) VALUES (P, 2) USING TIMESTAMP 1006',
  ];

  /** What is otherwise in the copy: one partition each, with what the oracle says of it. */
  const FAULTS: readonly (readonly [
    what: string,
    change: (statement: string) => string,
    said: readonly RegExp[],
  ])[] = [
    ['nothing', (one) => one, []],
    [
      'a row is missing',
      (one) => (one.includes('P, 1') || one.includes('c = 1') ? '' : one),
      [/^row .*it is missing$/],
    ],
    ['a bare key is missing', (one) => (one.includes('P, 2') ? '' : one), [/^row .*it is missing$/]],
    [
      'a row is too many',
      (one) => one.replace('P, 2', 'P, 9'),
      [/^row .*it is missing$/, /^row .*it was not there$/],
    ],
    ['a value', (one) => one.replace("'v'", "'V'"), [/column v: .* is 56 instead of 76$/]],
    [
      'a value is missing',
      (one) => one.replace('(p, c, v)', '(p, c)').replace(", 'v'", ''),
      [/column v: .* is missing$/],
    ],
    [
      'a time of writing',
      (one) => one.replace('1000', '1007'),
      [/column v: .* was written at 1007 instead of 1000$/],
    ],
    [
      'a TTL is shorter',
      (one) => one.replace('TTL 50000 SET w', 'TTL 49000 SET w'),
      [/column w: .* ends between/],
    ],
    [
      'a TTL is longer',
      (one) => one.replace('TTL 50000 SET w', 'TTL 51000 SET w'),
      [/column w: .* ends between/],
    ],
    ['a TTL is gone', (one) => one.replace(' AND TTL 50000 SET w', ' SET w'), [/column w: .* ends never/]],
    ['a TTL is new', (one) => one.replace('1000', '1000 AND TTL 50000'), [/column v: .* instead of never$/]],
    ['an element’s value', (one) => one.replace("'a': 1", "'a': 3"), [/column m: 61 is 00000003/]],
    ['an element is missing', (one) => (one.includes("'a'") ? '' : one), [/column m: 61 is missing$/]],
    [
      'an element is too many',
      (one) => one.replace("'a': 1", "'a': 1, 'z': 1"),
      [/column m: 7a is too many$/],
    ],
    ['an element’s time', (one) => one.replace('1002', '1008'), [/column m: 61 was written at 1008/]],
    [
      'an element’s TTL',
      (one) => one.replace('TTL 50000 SET m', 'TTL 40000 SET m'),
      [/column m: 62 ends between/],
    ],
    [
      'the order of a list',
      (one) => one.replace('[1, 2, 3]', '[1, 3, 2]'),
      [/column l: element 00000002 is 00000003/],
    ],
    [
      'the end of a list',
      (one) => one.replace('[1, 2, 3]', '[1, 2]'),
      [/column l: element 00000003 is missing$/],
    ],
    [
      'a static column’s value',
      (one) => one.replace("'s'", "'S'"),
      [/^static columns of .*column s: .* is 53/],
    ],
    [
      'a static column is missing',
      (one) => (one.includes('SET s') ? '' : one),
      [/^static .*column s: .*missing$/],
    ],
    [
      'a static column’s time',
      (one) => one.replace('1005', '1009'),
      [/^static .*column s: .*written at 1009/],
    ],
    [
      'a static column is too many',
      (one) => one.replace("s = 's'", "s = 's', free = 'x'"),
      [/^static .*column free: .*too many$/],
    ],
  ];

  const UNCHANGED = {
    ...{
      changed: new Set<string>(),
      partitionColumns: 1,
      untimed: new Set<string>(),
      unended: new Set<string>(),
    },
    ...{ expiring: 0, asNew: false, own: NOTHING_READ },
  };

  async function readBoth(): Promise<readonly [source: ReadTable, copy: ReadTable]> {
    const client = plainClient(cluster);
    const session = await openSession(cluster);
    const make = async (keyspace: string, isCopy: boolean) => {
      for (const statement of ddlOf({ types: new Map(), tables: [TABLE] }, keyspace))
        await client.execute(statement);
      for (const [p, [, change]] of FAULTS.entries()) {
        for (const one of STATEMENTS) {
          const statement = isCopy ? change(one) : one;
          if (statement !== '')
            await client.execute(statement.replace(/ t /, ` ${keyspace}.t `).replaceAll(/\bP\b/g, String(p)));
        }
      }
      return await readTable(session, keyspace, TABLE);
    };
    try {
      return [await make('oracle_source', false), await make('oracle_copy', true)];
    } finally {
      await session.close();
      await client.shutdown();
    }
  }

  test('sees each thing that a copy has otherwise, and nothing else', async () => {
    const startedAt = Date.now();
    const [source, copy] = await readBoth();
    // What the two were written apart counts as the time that a restore takes.
    const restored = { from: startedAt, to: Date.now() };
    const differences = differencesOf(copy, {
      ...UNCHANGED,
      ...{ states: [source, source], now: source, scannedUntil: startedAt, restored },
    });
    for (const [p, [what, , said]] of FAULTS.entries()) {
      const key = p.toString(16).padStart(8, '0');
      const own = differences.filter(
        (one) => one.startsWith(`row ${key}/`) || one.startsWith(`static columns of ${key}:`),
      );
      expect([what, ...own]).toEqual([what, ...said.map((each) => expect.stringMatching(each))]);
    }
    expect(differences).toHaveLength(FAULTS.flatMap(([, , said]) => said).length);
  }, 300_000);

  const HOUR = 3_600_000;
  const T = 1_800_000_000_000;
  const cells = (ends: number | undefined, value = '01'): Cells =>
    new Map([
      [
        'v',
        {
          isList: false,
          parts: [
            {
              name: '',
              value,
              writtenAt: 5n,
              ends: ends === undefined ? undefined : { from: ends, to: ends },
            },
          ],
        },
      ],
    ]);
  const NONE: Cells = new Map();
  const table = (rows: Readonly<Record<string, Cells>>, at: number): ReadTable => ({
    rows: new Map(Object.entries(rows)),
    statics: new Map(Object.keys(rows).map((key) => [key, NONE])),
    read: { from: at, to: at },
  });
  /** Scanned at T, restored a minute later, and looked at an hour later. */
  const looked = (
    source: Readonly<Record<'before' | 'after' | 'now', Readonly<Record<string, Cells>>>>,
    copy: Readonly<Record<string, Cells>>,
    changes: Partial<Expectation> = {},
  ) =>
    differencesOf(table(copy, T + HOUR), {
      ...UNCHANGED,
      states: [table(source.before, T - 1_000), table(source.after, T + 1_000)],
      now: table(source.now, T + HOUR),
      ...{ scannedUntil: T, restored: { from: T + 60_000, to: T + 61_000 } },
      ...changes,
    });

  test('excuses a row that went with its last cell where the source lost it too, or where the loss is listed', () => {
    const [ended, lasts] = [cells(T + HOUR / 2), cells(undefined)];
    expect(looked({ before: { a: ended }, after: { a: ended }, now: {} }, {})).toEqual([]);
    // The source keeps its bare key.
    const kept = { before: { a: ended }, after: { a: ended }, now: { a: NONE } };
    expect(looked(kept, {})).toEqual([expect.stringContaining('the list of losses has 0')]);
    expect(looked(kept, {}, { expiring: 1 })).toEqual([]);
    const two = { before: { a: ended, b: ended }, after: { a: ended, b: ended }, now: { a: NONE, b: NONE } };
    expect(looked(two, {}, { expiring: 1 })).toEqual([expect.stringContaining('the list of losses has 1')]);
    // A cell that stays keeps its row, and so does a bare key.
    const stays = { before: { a: lasts, b: NONE }, after: { a: lasts, b: NONE }, now: { a: lasts, b: NONE } };
    expect(looked(stays, {}, { expiring: 2 })).toEqual([
      expect.stringMatching(/^row a: it is missing/),
      expect.stringMatching(/^row b: it is missing/),
    ]);
  });

  test('wants what comes back without its end to stay, and to have none', () => {
    const ended = cells(T + HOUR / 2);
    const source = { before: { a: ended }, after: { a: ended }, now: {} };
    const unended = new Set(['v']);
    expect(looked(source, {}, { unended, expiring: 1 })).toEqual([
      expect.stringMatching(/^row a: it is missing/),
    ]);
    expect(looked(source, { a: cells(undefined) }, { unended })).toEqual([]);
    expect(looked(source, { a: cells(T + 2 * HOUR) }, { unended })).toEqual([
      expect.stringContaining('ends'),
    ]);
  });

  test('wants a row that nobody changed as it was, and one that was changed as it was before or after', () => {
    const source = { before: { a: cells(undefined, '01') }, after: { a: cells(undefined, '02') }, now: {} };
    expect(looked(source, { a: cells(undefined, '02') })).toEqual([
      expect.stringContaining('is 02 instead of 01'),
    ]);
    const changed = new Set(['a']);
    expect(looked(source, { a: cells(undefined, '02') }, { changed })).toEqual([]);
    expect(looked(source, { a: cells(undefined, '03') }, { changed })).toHaveLength(1);
    expect(looked({ ...source, after: {} }, {}, { changed })).toEqual([]);
    expect(looked({ ...source, after: {} }, {})).toEqual([expect.stringMatching(/^row a: it is missing/)]);
  });

  test('wants what the target had and the backup lacks untouched', () => {
    const own = table({ a: cells(undefined, '07') }, T);
    const nothing = { before: {}, after: {}, now: {} };
    expect(looked(nothing, { a: cells(undefined, '07') }, { own, asNew: true })).toEqual([]);
    expect(looked(nothing, { a: cells(undefined, '08') }, { own, asNew: true })).toHaveLength(1);
    expect(looked(nothing, {}, { own, asNew: true })).toHaveLength(1);
    // A row of the backup takes the place of the target's, at the time of the restore.
    const row = { before: { a: cells(undefined) }, after: { a: cells(undefined) }, now: {} };
    expect(looked(row, { a: cells(undefined, '07') }, { own, asNew: true })).toHaveLength(1);
    expect(looked(row, { a: cells(undefined) }, { own, asNew: true })).toEqual([
      expect.stringContaining('was written at 5'),
    ]);
    // What ends after the restore takes the target's row with it; what had ended before leaves it alone.
    const ending = { before: { a: cells(T + HOUR / 2) }, after: { a: cells(T + HOUR / 2) }, now: {} };
    expect(looked(ending, {}, { own, asNew: true })).toEqual([]);
    const ended = { before: { a: cells(T + 30_000) }, after: { a: cells(T + 30_000) }, now: {} };
    expect(looked(ended, {}, { own, asNew: true })).toEqual([expect.stringMatching(/^row a: it is missing/)]);
    expect(looked(ended, { a: cells(undefined, '07') }, { own, asNew: true })).toEqual([]);
  });
});
