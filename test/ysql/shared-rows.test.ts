import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BackupContext } from '../../engines/engine.ts';
import { rowsAt } from '../../engines/row-engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import type { BackupSummary } from '../../model/backup.ts';
import type { S3Location } from '../../model/source.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { readDataObjects, readManifest } from '../../repository/backups/manifest.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { OBJECTS_FOLDER } from '../../repository/layout.ts';
import { sweepObjects } from '../../repository/objects/sweep-objects.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { S3Store } from '../../repository/s3/store.ts';
import type { Store } from '../../repository/store.ts';
import { backupSide, newPeople, restoreSide } from '../repository/encryption/recipients.ts';
import { deleteBackup } from '../repository/sample-tablets.ts';
import { query } from '../support/sql.ts';
import { wholeBackup } from '../support/whole-backup.ts';
import {
  backupContext,
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  ysqlSource,
} from './harness.ts';

/** Of text. The table `large` has about ten such chunks. */
const CHUNK_BYTES = 256 * 1024;

const TABLES = `
  CREATE TABLE large (id int PRIMARY KEY, note text);
  INSERT INTO large SELECT n, md5(n::text) || md5((n * 7)::text) FROM generate_series(1, 30000) n;
  CREATE TABLE alike AS SELECT n AS id, 'the same' AS note FROM generate_series(1, 5) n;
  CREATE TABLE alike_too AS SELECT * FROM alike;
  CREATE TABLE long_rows AS SELECT n AS id, (SELECT string_agg(md5((n * 100 + i)::text), '') FROM generate_series(1, 500) i) AS noise
    FROM generate_series(1, 100) n;
  CREATE TABLE moody (mood money[], at timestamptz)`;

interface Place {
  readonly repository: TestRepository;
  /** How a restore opens the repository. */
  readonly reading: Store;
  remove(): Promise<void>;
}

async function directory(): Promise<Place> {
  const repository = await createRepository();
  return { repository, reading: repository.store, remove: repository.remove };
}

async function encrypted(): Promise<Place> {
  const plain = await createRepository();
  const people = await newPeople();
  const store = backupSide(plain.store, people);
  return { repository: { ...plain, store }, reading: restoreSide(plain.store, people), remove: plain.remove };
}

async function s3(): Promise<Place> {
  const gateway: S3Gateway = await startS3Gateway();
  await gateway.createBucket('shared-rows');
  const location: S3Location = {
    kind: 's3',
    bucket: 'shared-rows',
    prefix: 'here',
    region: gateway.region,
    endpoint: gateway.endpoint,
    credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
  };
  const store = await S3Store.open(location, async (reference) =>
    'env' in reference && reference.env === 'KEY' ? gateway.accessKeyId : gateway.secretAccessKey,
  );
  const remove = async () => {
    await store.close();
    await gateway.stop();
  };
  return { repository: { store, path: '/nowhere', remove }, reading: store, remove };
}

let server: TestServer;
let copies = 0;

beforeAll(async () => {
  server = await startServer();
});

afterAll(() => server?.stop());

describe.each([
  ['a directory', directory, 'binary'],
  ['an S3 store', s3, 'text'],
  ['an encrypted repository', encrypted, 'binary'],
] as const)('rows shared in %s', (_, open, format) => {
  let place: Place;
  let database: string;
  /** A copy of the database as each night had it. */
  const nights: { readonly summary: BackupSummary; readonly context: BackupContext; readonly as: string }[] =
    [];
  const source = ysqlSource({ chunkBytes: CHUNK_BYTES, format });

  beforeAll(async () => {
    place = await open();
    await ensureRepository(place.repository.store);
    database = `shared_${++copies}`;
    await query(server.url(), `CREATE DATABASE ${database}`);
    await query(server.url(database), TABLES, 'VACUUM ANALYZE');
  });

  afterAll(() => place?.remove());

  async function night(): Promise<BackupSummary> {
    const plain = backupContext(place.repository, server.url(database));
    const ref = { ...plain.ref, repository: { ...plain.ref.repository, shareRows: true } };
    const context = { ...plain, ref };
    const summary = await wholeBackup(ysqlEngine, context, source);
    const as = `night_${++copies}`;
    await query(server.url(), `CREATE DATABASE ${as} TEMPLATE ${database}`);
    nights.push({ summary, context, as });
    return summary;
  }

  async function objects(): Promise<readonly string[]> {
    return await Array.fromAsync(place.reading.list(OBJECTS_FOLDER), ({ key }) => key);
  }

  test('an unchanged night stores no rows', async () => {
    const first = await night();
    expect(first.newBytes).toBeGreaterThan(0);
    const before = await objects();
    expect(await night()).toMatchObject({ newBytes: 0, rows: first.rows, bytes: first.bytes });
    expect(await objects()).toEqual(before);
  });

  test('a table that grows, and one row that changes, store the chunks that they are in', async () => {
    const { storedBytes } = await night();
    await query(
      server.url(database),
      // As wide as the rows before, so that the server finds no room for them in earlier blocks.
      'INSERT INTO large SELECT n, md5(n::text) || md5((n * 7)::text) FROM generate_series(30001, 31000) n',
      "INSERT INTO moody VALUES (ARRAY['1.5'::money, NULL], '2026-11-30')",
    );
    const { newBytes = 0 } = await night();
    expect(newBytes).toBeGreaterThan(0);
    expect(newBytes).toBeLessThan(storedBytes / 4);
  });

  test('each kept night is found whole at every level, and comes back exactly, after sweeps too', async () => {
    const { store } = place.repository;
    const [gone, ...kept] = nights;
    if (gone === undefined) throw new Error('there is no night');
    await deleteBackup(store, gone.context.ref);
    for (let sweep = 0; sweep < 3; sweep++) await sweepObjects(store, { graceMs: 0 });
    for (const { context, as } of kept) {
      const { ref } = context;
      const manifest = await readManifest(place.reading, ref);
      expect(manifest.formatVersion).toBe(3);
      for (const level of ['exists', 'checksums', 'content'] as const) {
        expect(await verifyBackup(place.reading, ref, level)).toMatchObject({ verdict: 'OK', problems: [] });
      }
      const backup: TestBackup = {
        source,
        context: { ...context, store: place.reading },
        manifest,
        objects: await Array.fromAsync(readDataObjects(place.reading, manifest)),
        readPoint: rowsAt(manifest.readPoint),
      };
      const name = `restored_${++copies}`;
      const outcome = await runRestore(restoreContext(backup, server.url(), { into: { [database]: name } }));
      expect(outcome.problems).toEqual([]);
      expect(await contentsOf(name)).toEqual(await contentsOf(as));
    }
  });

  // A store that is no directory is downloaded first, and an encrypted one decrypted. The commands are the same then.
  const byHand = async () => {
    const last = nights.at(-1);
    if (last === undefined) throw new Error('there is no night');
    const folder = join(place.repository.path, last.context.folder);
    const name = `by_hand_${++copies}`;
    await query(server.url(), `CREATE DATABASE ${name}`);
    const url = new URL(server.url());
    const env = {
      ...process.env,
      PATH: `${server.binDirectory}:${process.env.PATH}`,
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: url.username,
      PGPASSWORD: decodeURIComponent(url.password),
      PGDATABASE: name,
    };
    const run = (command: string) => promisify(execFile)('sh', ['-c', command], { cwd: folder, env });
    await run('sha256sum --check --quiet SHA256SUMS');
    await run('for f in schema/e1/0/pre-data-*.sql; do psql -X -q -v ON_ERROR_STOP=1 -f "$f"; done');
    expect((await run('sh load-0.sh')).stdout).toContain('loaded and counted');
    expect(await contentsOf(name)).toEqual(await contentsOf(last.as));
    const listed = await run("sed -n 's|.*  ../../../||p' SHA256SUMS");
    expect(await objects()).toEqual(expect.arrayContaining(listed.stdout.trim().split('\n')));
  };
  if (open === directory) test('the last night comes back by hand', byHand);
});

/** A hash of each table's rows. */
async function contentsOf(database: string): Promise<unknown> {
  const tables = ['large', 'alike', 'alike_too', 'long_rows', 'moody'];
  const hash = (table: string) =>
    `SELECT '${table}' AS name, count(*)::int AS rows, md5(string_agg(t::text, E'\\n' ORDER BY t::text)) AS hash FROM ${table} t`;
  return await query(server.url(database), tables.map(hash).join(' UNION ALL '));
}
