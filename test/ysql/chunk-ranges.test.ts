import fc from 'fast-check';
import { Client } from 'pg';
import { readCutKeys } from '../../engines/ysql/cut-keys.ts';
import { type CutBudget, cutByKey, type TableCut } from '../../engines/ysql/key-places.ts';
import { selectRange } from '../../engines/ysql/key-ranges.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { openReader } from '../../engines/ysql/server/reader.ts';
import type { Session } from '../../engines/ysql/server/session.ts';
import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';
import { startServer, type TestServer } from './harness.ts';
import {
  createStatements,
  insertStatement,
  KEY_TYPES_SCHEMA,
  type RandomTable,
  randomTable,
} from './random-keys.ts';

const CHUNK_BYTES = 2_000;
const ROWS = 400;

/** A walk that ends after so many looks at the clock. */
function budgetOf(looks: number): CutBudget {
  let at = 0;
  return { walkMs: looks, allWalksMs: looks, maxPlaces: 1_000, now: () => at++ };
}

describe('ranges of a primary key', () => {
  let server: TestServer;
  let proxy: YsqlProxy;
  let table = 0;

  beforeAll(async () => {
    server = await startServer();
    proxy = await startYsqlProxy({ upstreamUrl: server.url() });
    await query(server.url(), 'CREATE DATABASE keys');
    await query(server.url('keys'), KEY_TYPES_SCHEMA);
  });

  afterAll(async () => {
    await proxy?.stop();
    await server?.stop();
  });

  test('hold every row of the read point exactly once, whatever the types, collations and directions of the key, and while others write', async () => {
    await fc.assert(
      fc.asyncProperty(
        randomTable('random', ROWS),
        fc.constantFrom(0, 1, 4, 1_000),
        fc.boolean(),
        async (drawn, looks, analyzed) => {
          table += 1;
          const made = named(drawn, `random_${table}`);
          const url = server.url('keys');
          await query(url, ...createStatements(made));
          await query(url, insertStatement(made), ...(analyzed ? [`ANALYZE ${made.name}`] : []));
          const before = await contentOf(url, made.name);
          const reader = await openReader(
            parseConnectionUrl(throughProxy('keys')),
            'keys',
            { kind: 'yb-read-time', epoch: 1, micros: await now(url), takenAt: '' },
            new AbortController().signal,
          );
          try {
            await reader.query('pin the snapshot', 'SELECT 1');
            const writing = query(
              url,
              `DELETE FROM ${made.name} WHERE ctid IN (SELECT ctid FROM ${made.name} LIMIT 50)`,
              `UPDATE ${made.name} SET filling = 'changed'`,
            );
            const { cut, contents } = await cutAndRead(reader, made, looks);
            await writing;
            expect(contents.rows).toEqual([before]);
            expect(cut.rangeBytes).toHaveLength(cut.places.length + 1);
            // The walk that isn't cut short leaves no chunk that is much too large.
            if (looks === 1_000) expect(contents.largestBytes).toBeLessThan(4 * CHUNK_BYTES);
          } finally {
            await reader.close();
          }
          await query(url, `DROP TABLE ${made.name}`);
        },
      ),
      // Shrinking draws hundreds of tables more and takes minutes; the seed that is printed draws the same ones again.
      { numRuns: Number(process.env.PROPERTY_RUNS ?? 40), endOnFailure: true },
    );
  });

  test('a table that the walk does not reach to the end is cut by its tablets, its statistics and the values between', async () => {
    const url = server.url('keys');
    await query(
      url,
      'CREATE TABLE tablets (a text COLLATE "C", b int, filling text, PRIMARY KEY (a, b))',
      "COMMENT ON TABLE tablets IS 'yb: range SPLIT AT VALUES ((''g'', MINVALUE), (E''it''''s\\\\x'', 5), (''q'', 7))'",
      "INSERT INTO tablets SELECT chr(97 + i % 26), i, repeat('x', 50) FROM generate_series(1, 2000) i",
      'CREATE TABLE numbered (id bigint PRIMARY KEY, filling text)',
      "COMMENT ON TABLE numbered IS 'yb: range'",
      "INSERT INTO numbered SELECT i, repeat('x', 50) FROM generate_series(1, 2000) i",
      'CREATE TABLE skewed (id inet PRIMARY KEY, filling text)',
      "COMMENT ON TABLE skewed IS 'yb: range'",
      "INSERT INTO skewed SELECT '10.0.0.0'::inet + i, repeat('x', 50) FROM generate_series(1, 2000) i",
    );
    const cutOf = async (name: string, looks: number) => {
      const reader = await readerNow();
      try {
        return await cutNamed(reader, name, looks);
      } finally {
        await reader.close();
      }
    };
    const tablets = await cutOf('tablets', 3);
    expect(tablets.places).toEqual(expect.arrayContaining([['g'], ["it's\\x", '5'], ['q', '7']]));
    const numbered = await cutOf('numbered', 3);
    // 2000 rows of 55 bytes in chunks of 2000 bytes; what the walk saw tells how many lie behind it.
    expect(numbered.places.length).toBeGreaterThan(30);
    expect(numbered.places.length).toBeLessThan(90);
    expect((await cutOf('skewed', 3)).uncut).toContain('read in one');
    await query(url, 'ANALYZE skewed');
    const analyzed = await cutOf('skewed', 3);
    expect(analyzed.uncut).toBeUndefined();
    expect(analyzed.places.length).toBeGreaterThan(50);
  });

  async function readerNow(): Promise<Session> {
    const micros = await now(server.url('keys'));
    return await openReader(
      parseConnectionUrl(throughProxy('keys')),
      'keys',
      { kind: 'yb-read-time', epoch: 1, micros, takenAt: '' },
      new AbortController().signal,
    );
  }

  function throughProxy(database: string): string {
    const url = new URL(server.url(database));
    url.port = String(proxy.port);
    return url.href;
  }
});

function named(table: RandomTable, name: string): RandomTable {
  return { ...table, name, create: table.create.replace('CREATE TABLE random ', `CREATE TABLE ${name} `) };
}

async function now(url: string): Promise<string> {
  const [row] = await query(
    url,
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS micros',
  );
  return String(row?.micros);
}

interface Content {
  readonly rows: number;
  readonly hash: string;
}

const CONTENT = 'count(*)::int AS rows, coalesce(sum(hashtextextended(r::text, 0)), 0)::text AS hash';

async function contentOf(url: string, table: string): Promise<Content> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client
      .query<Content>(`SET TimeZone = 'UTC'; SET extra_float_digits = 3`)
      .then(() => client.query<Content>(`SELECT ${CONTENT} FROM ${table} r`));
    const [content] = rows;
    if (content === undefined) throw new Error('no row');
    return content;
  } finally {
    await client.end();
  }
}

async function cutNamed(reader: Session, name: string, looks: number): Promise<TableCut> {
  const [{ oid } = { oid: '' }] = await reader.query<{ oid: string }>(
    'find the table',
    `SELECT 'public.${name}'::regclass::oid::text AS oid`,
  );
  const key = (await readCutKeys(reader, [oid])).get(oid);
  if (key === undefined) throw new Error(`no key of ${name}`);
  return await cutByKey(
    reader,
    { oid, table: `public.${name}`, key, estimatedBytes: 0 },
    CHUNK_BYTES,
    budgetOf(looks),
  );
}

/** All ranges read one by one, summed up as `contentOf` sums up the table. */
async function cutAndRead(reader: Session, { name }: RandomTable, looks: number) {
  const [{ oid } = { oid: '' }] = await reader.query<{ oid: string }>(
    'find the table',
    `SELECT 'public.${name}'::regclass::oid::text AS oid`,
  );
  const key = (await readCutKeys(reader, [oid])).get(oid);
  if (key === undefined) throw new Error(`no key of ${name}`);
  const cut = await cutNamed(reader, name, looks);
  let rows = 0;
  let hash = 0n;
  let largestBytes = 0;
  for (let index = 0; index <= cut.places.length; index += 1) {
    const range = {
      kind: 'key' as const,
      keys: key,
      from: cut.places[index - 1] ?? null,
      to: cut.places[index] ?? null,
    };
    const [content] = await reader.query<Content & { readonly bytes: number }>(
      'read a range',
      `SELECT count(*)::int AS rows, coalesce(sum(hashtextextended(r::text, 0)), 0)::text AS hash, coalesce(sum(octet_length(r::text)), 0)::int AS bytes
       FROM (${selectRange(range, '*', `public.${name}`)}) r`,
    );
    rows += content?.rows ?? 0;
    hash += BigInt(content?.hash ?? 0);
    largestBytes = Math.max(largestBytes, content?.bytes ?? 0);
  }
  return { cut, contents: { rows: [{ rows, hash: hash.toString() }], largestBytes } };
}
