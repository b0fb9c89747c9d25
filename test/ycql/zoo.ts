import { Client, types } from 'cassandra-driver';
import { Dice } from '../crash/dice.ts';

/*
 * A keyspace that has everything: each type of CQL, cells that were each written at a time of their own, some of which expire,
 * collections whose elements differ, rows that are nothing but a key, partitions that are nothing but static columns, zero-length
 * values, counters, quoted names, indexes, user-defined types within each other.
 */

export interface TestCluster {
  readonly contactPoints: readonly string[];
  readonly port: number;
  readonly localDataCenter: string;
}

/** A plain client of the driver, which decodes; the caller shuts it down. */
export function plainClient({ contactPoints, port, localDataCenter }: TestCluster): Client {
  return new Client({
    contactPoints: [...contactPoints],
    localDataCenter,
    protocolOptions: { port, maxVersion: 4 },
    isMetadataSyncEnabled: false,
    socketOptions: { readTimeout: 120_000 },
    queryOptions: { consistency: types.consistencies.one },
  });
}

/** Runs statements, one call each. */
export async function run(cluster: TestCluster, ...statements: readonly string[]): Promise<void> {
  const client = plainClient(cluster);
  try {
    for (const statement of statements) await client.execute(statement);
  } finally {
    await client.shutdown();
  }
}

export interface ZooOptions {
  readonly seed: number;
  /** Of the table with every type; the others have fewer. */
  readonly rows: number;
  /** YCQL lacks ASCII, DURATION, TUPLE and VECTOR, and has JSONB. */
  readonly dialect: 'cassandra' | 'ycql';
  /** A real YCQL takes no time of writing for a part of a collection, and a user-defined type as a whole (as far as is known). */
  readonly untimedCollections?: boolean;
  /** Of each row. Default 1. */
  readonly replicas?: number;
}

/** A column's type, and raw values of it. */
interface Kind {
  readonly column: string;
  readonly type: string;
  value(dice: Dice): Buffer;
}

const YCQL_ONLY = new Set(['c_json']);
const CASSANDRA_ONLY = new Set(['c_ascii', 'c_duration', 'c_tuple', 'c_vector', 'c_deep']);

const KINDS: readonly Kind[] = [
  { column: 'c_ascii', type: 'ascii', value: (dice) => text(dice, 'ascii') },
  { column: 'c_bigint', type: 'bigint', value: (dice) => bytes(dice, 8) },
  { column: 'c_blob', type: 'blob', value: (dice) => bytes(dice, int(dice, 0, 60)) },
  { column: 'c_boolean', type: 'boolean', value: (dice) => Buffer.from([int(dice, 0, 2)]) },
  { column: 'c_date', type: 'date', value: (dice) => bytes(dice, 4) },
  {
    column: 'c_decimal',
    type: 'decimal',
    value: (dice) => Buffer.concat([int32(int(dice, -40, 40)), varint(dice)]),
  },
  { column: 'c_double', type: 'double', value: floating },
  {
    column: 'c_duration',
    type: 'duration',
    value: (dice) => Buffer.from([int(dice, 0, 60) * 2, int(dice, 0, 60) * 2, int(dice, 0, 60) * 2]),
  },
  { column: 'c_float', type: 'float', value: (dice) => floating(dice).subarray(0, 4) },
  { column: 'c_inet', type: 'inet', value: (dice) => bytes(dice, dice.chance(0.5) ? 4 : 16) },
  { column: 'c_int', type: 'int', value: (dice) => bytes(dice, 4) },
  { column: 'c_smallint', type: 'smallint', value: (dice) => bytes(dice, 2) },
  { column: 'c_text', type: 'text', value: (dice) => text(dice, 'text') },
  { column: 'c_time', type: 'time', value: (dice) => int64(BigInt(int(dice, 0, 86_400)) * 1_000_000_000n) },
  {
    column: 'c_timestamp',
    type: 'timestamp',
    value: (dice) => int64(BigInt(int(dice, -2_000_000_000, 2_000_000_000)) * 1_000n),
  },
  { column: 'c_timeuuid', type: 'timeuuid', value: (dice) => uuid(dice, 1) },
  { column: 'c_tinyint', type: 'tinyint', value: (dice) => bytes(dice, 1) },
  { column: 'c_uuid', type: 'uuid', value: (dice) => uuid(dice, 4) },
  { column: 'c_varint', type: 'varint', value: varint },
  { column: 'c_frozen_list', type: 'frozen<list<int>>', value: (dice) => many(dice, () => [bytes(dice, 4)]) },
  {
    column: 'c_frozen_map',
    type: 'frozen<map<text, frozen<set<int>>>>',
    value: (dice) => sortedMap(dice, () => sortedSet(dice)),
  },
  {
    column: 'c_tuple',
    type: 'tuple<int, text, frozen<list<text>>>',
    value: (dice) =>
      fields([
        bytes(dice, 4),
        dice.chance(0.2) ? null : text(dice, 'text'),
        many(dice, () => [text(dice, 'text')]),
      ]),
  },
  { column: 'c_udt', type: 'frozen<person>', value: person },
  {
    column: 'c_deep',
    type: 'frozen<map<int, tuple<frozen<person>, text>>>',
    value: (dice) => group([[int32(1), fields([person(dice), text(dice, 'text')])]]),
  },
  {
    column: 'c_json',
    type: 'jsonb',
    value: (dice) =>
      Buffer.from(JSON.stringify({ n: int(dice, 0, 1_000), text: text(dice, 'text').toString() })),
  },
  {
    column: 'c_vector',
    type: 'vector<float, 3>',
    value: (dice) =>
      Buffer.concat([
        floating(dice).subarray(0, 4),
        floating(dice).subarray(0, 4),
        floating(dice).subarray(0, 4),
      ]),
  },
];

const COLLECTIONS = ['l list<int>', 's set<text>', 'm map<text, int>', 'u address'];

/**
 * Creates the keyspace and fills it, always alike for one seed. Returns the names of its tables. `writeTo` is where the rows are
 * written: past a proxy that would refuse times of writing.
 */
export async function createZoo(
  cluster: TestCluster,
  keyspace: string,
  options: ZooOptions,
  writeTo: TestCluster = cluster,
): Promise<readonly string[]> {
  const [schema, rows] = [plainClient(cluster), plainClient(writeTo)];
  try {
    await createSchema(schema, keyspace, options);
    await fill(rows, keyspace, options);
  } finally {
    await schema.shutdown();
    await rows.shutdown();
  }
  return ['everything', 'QuotedTable', 'keys_only', 'wide', 'counted', 'expiring', 'empty'];
}

function kindsOf({ dialect }: ZooOptions): readonly Kind[] {
  const others = dialect === 'cassandra' ? YCQL_ONLY : CASSANDRA_ONLY;
  return KINDS.filter(({ column }) => !others.has(column));
}

async function createSchema(client: Client, keyspace: string, options: ZooOptions): Promise<void> {
  const columns = kindsOf(options).map(({ column, type }) => `${column} ${type}`);
  const statements = [
    `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': ${options.replicas ?? 1}}`,
    `CREATE TYPE ${keyspace}.address (street text, number int)`,
    `CREATE TYPE ${keyspace}.person (name text, home frozen<address>, "Nick Names" frozen<list<text>>)`,
    `CREATE TABLE ${keyspace}.everything (p int, c text, st text static, sm map<text, int> static, ${[...columns, ...COLLECTIONS].join(', ')}, PRIMARY KEY (p, c))`,
    `CREATE TABLE ${keyspace}."QuotedTable" ("P 1" text, p2 int, "C" int, d text, "Value ä" text, PRIMARY KEY (("P 1", p2), "C", d)) WITH CLUSTERING ORDER BY ("C" DESC, d ASC) AND comment = 'it''s quoted'`,
    `CREATE TABLE ${keyspace}.keys_only (p int, c int, PRIMARY KEY (p, c))`,
    `CREATE TABLE ${keyspace}.wide (p int, c int, v blob, PRIMARY KEY (p, c))`,
    `CREATE TABLE ${keyspace}.counted (p int, c int, hits counter, misses counter, total counter static, PRIMARY KEY (p, c))`,
    `CREATE TABLE ${keyspace}.expiring (p int PRIMARY KEY, v text, w int) WITH default_time_to_live = 864000 AND gc_grace_seconds = 1000`,
    `CREATE TABLE ${keyspace}.empty (p int PRIMARY KEY, v text)`,
    `CREATE INDEX everything_by_int ON ${keyspace}.everything (c_int)`,
    `CREATE INDEX "QuotedIndex" ON ${keyspace}."QuotedTable" ("Value ä")`,
  ];
  if (options.dialect === 'ycql') statements.push(...YCQL_SCHEMA(keyspace));
  for (const statement of statements) await client.execute(statement);
}

const YCQL_SCHEMA = (keyspace: string): readonly string[] => [
  `CREATE TABLE ${keyspace}.transactional (p int PRIMARY KEY, v text, "W" int, j jsonb) WITH transactions = {'enabled': 'true'} AND tablets = 4`,
  `CREATE UNIQUE INDEX unique_v ON ${keyspace}.transactional (v) INCLUDE ("W") WHERE v != 'none'`,
];

async function fill(client: Client, keyspace: string, options: ZooOptions): Promise<void> {
  const dice = new Dice(options.seed);
  const queue = new Queue(client);
  const kinds = kindsOf(options);
  const written = writer(dice);
  for (let row = 0; row < options.rows; row += 1) {
    const key = [int32(Math.floor(row / 3)), Buffer.from(`c${row % 3}`)];
    const where = 'p = ? AND c = ?';
    const set = async (assignment: string, ...values: readonly (Buffer | null)[]) => {
      const { time, ttl } = written.next();
      const isTimed = options.untimedCollections !== true || !/^[lsmu]\b/.test(assignment);
      const using = isTimed ? ' USING TIMESTAMP ? AND TTL ?' : '';
      await queue.add(`UPDATE ${keyspace}.everything${using} SET ${assignment} WHERE ${where}`, [
        ...(isTimed ? [int64(time), int32(ttl)] : []),
        ...values,
        ...key,
      ]);
    };
    if (row % 11 === 0) {
      // A row that is nothing but its key.
      await queue.add(`INSERT INTO ${keyspace}.everything (p, c) VALUES (?, ?) USING TIMESTAMP ?`, [
        ...key,
        int64(written.next().time),
      ]);
      continue;
    }
    if (row % 5 === 0) {
      // A row written at once, as most are.
      const { time, ttl } = written.next();
      const names = kinds.map(({ column }) => column);
      await queue.add(
        `INSERT INTO ${keyspace}.everything (p, c, ${names.join(', ')}) VALUES (?, ?, ${names.map(() => '?').join(', ')}) USING TIMESTAMP ? AND TTL ?`,
        [...key, ...kinds.map((kind) => kind.value(dice)), int64(time), int32(ttl)],
      );
    } else {
      for (const { column, type, value } of kinds) {
        if (dice.chance(0.25)) continue;
        const mayBeEmpty =
          !/^(frozen|tuple|vector|duration|boolean|smallint|tinyint|date|time$|inet|varint)/.test(type);
        await set(`${column} = ?`, mayBeEmpty && dice.chance(0.05) ? Buffer.alloc(0) : value(dice));
      }
    }
    await collections(dice, set, options.untimedCollections !== true);
  }
  const timed = options.untimedCollections ? '' : ' USING TIMESTAMP ?';
  for (let partition = 0; partition < options.rows / 3; partition += 2) {
    const { time, ttl } = written.next();
    await queue.add(`UPDATE ${keyspace}.everything USING TIMESTAMP ? AND TTL ? SET st = ? WHERE p = ?`, [
      int64(time),
      int32(ttl),
      text(dice, 'text'),
      int32(partition),
    ]);
    await queue.add(`UPDATE ${keyspace}.everything${timed} SET sm = sm + ? WHERE p = ?`, [
      ...(options.untimedCollections ? [] : [int64(written.next().time)]),
      group([[Buffer.from('a'), int32(1)]]),
      int32(partition),
    ]);
    await queue.add(`UPDATE ${keyspace}.everything${timed} SET sm = sm + ? WHERE p = ?`, [
      ...(options.untimedCollections ? [] : [int64(written.next().time)]),
      group([[Buffer.from('b'), int32(2)]]),
      int32(partition),
    ]);
  }
  // Partitions that are nothing but static columns.
  for (let partition = 1_000_000; partition < 1_000_000 + options.rows / 20; partition += 1) {
    await queue.add(`UPDATE ${keyspace}.everything USING TIMESTAMP ? SET st = ? WHERE p = ?`, [
      int64(written.next().time),
      text(dice, 'text'),
      int32(partition),
    ]);
  }
  for (let row = 0; row < options.rows / 3; row += 1) {
    const key = [
      Buffer.from(`p ${row % 7}`),
      int32(row % 5),
      int32(row),
      Buffer.from(row % 2 === 0 ? '' : 'd"d'),
    ];
    const { time, ttl } = written.next();
    await queue.add(
      `INSERT INTO ${keyspace}."QuotedTable" ("P 1", p2, "C", d, "Value ä") VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?`,
      [...key, text(dice, 'text'), int64(time), int32(ttl)],
    );
    await queue.add(`INSERT INTO ${keyspace}.keys_only (p, c) VALUES (?, ?)`, [int32(row % 50), int32(row)]);
    await queue.add(`INSERT INTO ${keyspace}.wide (p, c, v) VALUES (?, ?, ?) USING TIMESTAMP ?`, [
      int32(1),
      int32(row),
      bytes(dice, 400),
      int64(time),
    ]);
    await queue.add(
      `INSERT INTO ${keyspace}.expiring (p, v, w) VALUES (?, ?, ?)${row % 3 === 0 ? ' USING TTL 0' : ''}`,
      [int32(row), text(dice, 'text'), bytes(dice, 4)],
    );
  }
  for (let row = 0; options.dialect === 'ycql' && row < options.rows / 5; row += 1) {
    await queue.add(`INSERT INTO ${keyspace}.transactional (p, v, "W", j) VALUES (?, ?, ?, ?)`, [
      int32(row),
      Buffer.from(`v${row}`),
      bytes(dice, 4),
      Buffer.from(`{"row":${row}}`),
    ]);
  }
  await queue.end();
  for (let row = 0; row < options.rows / 10; row += 1) {
    const key = [int32(row % 9), int32(row)];
    await client.execute(
      `UPDATE ${keyspace}.counted SET hits = hits + ?, misses = misses + ? WHERE p = ? AND c = ?`,
      [int64(BigInt(row)), int64(BigInt(-row * 7)), ...key],
      { prepare: true },
    );
    if (row % 4 === 0)
      await client.execute(
        `UPDATE ${keyspace}.counted SET total = total + ? WHERE p = ?`,
        [int64(3n), key[0]],
        { prepare: true },
      );
    if (row % 5 === 0)
      await client.execute(
        `UPDATE ${keyspace}.counted SET hits = hits + ? WHERE p = ? AND c = ?`,
        [int64(1n), int32(row % 9), int32(100_000 + row)],
        { prepare: true },
      );
  }
}

type Set = (assignment: string, ...values: readonly (Buffer | null)[]) => Promise<void>;

/** Collections whole, and collections each element of which has a time and perhaps an expiry of its own. */
async function collections(dice: Dice, set: Set, hasFields: boolean): Promise<void> {
  if (dice.chance(0.6)) {
    await set('l = ?', group([[int32(1)], [int32(2)], [int32(3)]]));
    if (dice.chance(0.6)) await set('l = l + ?', group([[int32(4)]]));
    if (dice.chance(0.4)) await set('l = l + ?', group([[int32(5)], [int32(5)]]));
  }
  if (dice.chance(0.6)) {
    await set('s = ?', group([[Buffer.from('')], [Buffer.from('one')]]));
    if (dice.chance(0.7)) await set('s = s + ?', group([[Buffer.from('two')]]));
  }
  if (dice.chance(0.6)) {
    await set(
      'm = ?',
      group([
        [Buffer.from('a'), int32(1)],
        [Buffer.from('b'), int32(2)],
      ]),
    );
    if (dice.chance(0.7)) await set('m = m + ?', group([[Buffer.from('c'), int32(3)]]));
    if (dice.chance(0.3)) await set('m[?] = ?', Buffer.from('a'), int32(9));
  }
  if (dice.chance(0.4)) {
    await set('u = ?', fields([text(dice, 'text'), int32(7)]));
    if (hasFields && dice.chance(0.6)) await set('u.number = ?', int32(8));
  } else if (hasFields) {
    await set('u.street = ?', Buffer.from('Elm'));
  }
}

/** Times of writing that are all different and grow, so that what comes later wins; a third of them expire in days. */
function writer(dice: Dice): { next(): { readonly time: bigint; readonly ttl: number } } {
  let time = 1_700_000_000_000_000n;
  return {
    next() {
      time += BigInt(int(dice, 1, 5_000_000));
      return { time, ttl: dice.chance(0.33) ? int(dice, 100_000, 5_000_000) : 0 };
    },
  };
}

/** Keeps some statements under way at once; those of one row go in order, as their times say which wins. */
class Queue {
  readonly #client: Client;
  #underWay: Promise<unknown>[] = [];

  constructor(client: Client) {
    this.#client = client;
  }

  async add(query: string, params: readonly (Buffer | null)[]): Promise<void> {
    // List elements get their places by when they are written, so nothing overtakes an addition to a list.
    if (query.includes('l = ')) await this.end();
    this.#underWay.push(this.#client.execute(query, [...params], { prepare: true }));
    if (query.includes('l = ') || this.#underWay.length >= 64) await this.end();
  }

  async end(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#underWay = [];
  }
}

function int(dice: Dice, from: number, to: number): number {
  return Math.floor(dice.between(from, to));
}

function bytes(dice: Dice, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => int(dice, 0, 256)));
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function int64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(value);
  return buffer;
}

function text(dice: Dice, kind: 'ascii' | 'text'): Buffer {
  const words =
    kind === 'ascii'
      ? ['plain', "it's", '"quoted"', 'a,b', '']
      : ['naïve', '日本', 'tab\there', 'nul\u0000', '🦁', 'line\nbreak', 'x'];
  return Buffer.from(Array.from({ length: int(dice, 1, 4) }, () => dice.pick(words)).join(' '));
}

/** As short as it can be, as the server writes it. */
function varint(dice: Dice): Buffer {
  const buffer = Buffer.alloc(6);
  buffer.writeIntBE(int(dice, -2_000_000_000, 2_000_000_000), 0, 6);
  let start = 0;
  while (start < 5) {
    const [first = 0, second = 0] = [buffer[start], buffer[start + 1]];
    if (!((first === 0 && second < 128) || (first === 255 && second >= 128))) break;
    start += 1;
  }
  return Buffer.from(buffer.subarray(start));
}

function floating(dice: Dice): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeDoubleBE(
    dice.pick([0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.MIN_VALUE, Math.PI, -1e300]),
  );
  return buffer;
}

function uuid(dice: Dice, version: number): Buffer {
  const buffer = bytes(dice, 16);
  buffer[6] = ((buffer[6] ?? 0) & 0x0f) | (version << 4);
  buffer[8] = ((buffer[8] ?? 0) & 0x3f) | 0x80;
  return buffer;
}

function person(dice: Dice): Buffer {
  const home = fields([text(dice, 'text'), dice.chance(0.5) ? bytes(dice, 4) : null]);
  return fields([text(dice, 'text'), dice.chance(0.8) ? home : null, many(dice, () => [text(dice, 'text')])]);
}

/** Fields of a user-defined type or a tuple. */
function fields(cells: readonly (Buffer | null)[]): Buffer {
  return Buffer.concat(cells.flatMap((cell) => (cell === null ? [int32(-1)] : [int32(cell.length), cell])));
}

/** Elements of a list or set, or keys and values of a map. */
function group(elements: readonly (readonly Buffer[])[]): Buffer {
  return Buffer.concat([int32(elements.length), fields(elements.flat())]);
}

function many(dice: Dice, make: () => readonly Buffer[]): Buffer {
  return group(Array.from({ length: int(dice, 0, 4) }, make));
}

function sortedSet(dice: Dice): Buffer {
  const numbers = [...new Set(Array.from({ length: int(dice, 0, 4) }, () => int(dice, 0, 100)))].sort(
    (a, b) => a - b,
  );
  return group(numbers.map((number) => [int32(number)]));
}

function sortedMap(dice: Dice, value: () => Buffer): Buffer {
  const keys = ['a', 'b', 'c'].slice(0, int(dice, 0, 4));
  return group(keys.map((key) => [Buffer.from(key), value()]));
}
