import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { DECODE_SCRIPT } from '../../../engines/ysql/archive/decode-script.ts';
import type { StoredSegment } from '../../../model/archive.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { putSegment } from '../../../repository/archive/archive.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import type { Store } from '../../../repository/store.ts';
import { Dice } from '../../crash/dice.ts';
import { newSigner, signedStore } from '../../repository/signing/signers.ts';
import { query } from '../../support/sql.ts';
import { createRepository, type TestRepository } from '../harness.ts';
import { beginArchive } from './record.ts';
import { messagesOf } from './rewrite.ts';

/* What somebody has who lost Holdfast: the segments, `decode.mjs` and psql, against a database with settings of its own. */

let postgres: PostgresServer;
let repository: TestRepository;

beforeAll(async () => {
  [postgres, repository] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical' } }),
    createRepository(),
  ]);
});

afterAll(async () => {
  await postgres?.stop();
  await repository?.remove();
});

/** Keyless tables of types that a cast to text writes otherwise, and tables whose children have rows of the same keys. */
const SCHEMA = `
  CREATE TABLE bag (flag bool, code char(6), host inet, at timestamptz, took interval, bin bytea, f float8, day date, word text, none text);
  ALTER TABLE bag REPLICA IDENTITY FULL;
  CREATE TABLE bag_child () INHERITS (bag);
  ALTER TABLE bag_child REPLICA IDENTITY FULL;
  CREATE TABLE parent (id int PRIMARY KEY, v text);
  CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
  INSERT INTO parent VALUES (1, 'base'), (2, 'base');
  INSERT INTO child VALUES (1, 'base of the child'), (2, 'base of the child')`;

const ROW = `(true, 'ab', '10.0.0.1', '2026-11-29 23:30:00+00', '1 day 02:03:04', '\\x00ff', 0.1, '2026-11-30', 'ä', NULL)`;

const CHANGES = [
  `INSERT INTO bag VALUES ${ROW}, ${ROW}; INSERT INTO bag_child VALUES ${ROW}`,
  `UPDATE ONLY bag SET flag = NOT flag WHERE ctid = '(0,1)'`,
  `UPDATE ONLY parent SET v = 'changed' WHERE id = 1`,
  'DELETE FROM ONLY parent WHERE id = 2',
  `DELETE FROM ONLY bag WHERE flag`,
  `UPDATE ONLY child SET v = 'ä' WHERE id = 2`,
];

const HASHED = ['bag', 'bag_child', 'parent', 'child'].map(
  (table) =>
    `SELECT '${table}' AS name, (SELECT json_agg(t ORDER BY t::text) FROM ONLY ${table} t)::text AS rows`,
);
const AS_ONE =
  "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = postgres; SET bytea_output = hex; SET extra_float_digits = 3";
const contentOf = (url: string) => query(url, AS_ONE, HASHED.join(' UNION ALL '));

/** A source that has changed, what is archived of it, and a copy as it was at first, in which values are written otherwise. */
async function changedSource(name: string, store: Store) {
  for (const database of [name, `${name}_copy`]) await query(postgres.url(), `CREATE DATABASE ${database}`);
  const [url, copy] = [postgres.url(name), postgres.url(`${name}_copy`)];
  await query(copy, SCHEMA);
  for (const setting of [
    "TimeZone TO 'Asia/Kolkata'",
    "DateStyle TO 'SQL, DMY'",
    "IntervalStyle TO 'iso_8601'",
    "bytea_output TO 'escape'",
    'extra_float_digits TO 0',
    "client_encoding TO 'LATIN1'",
  ]) {
    await query(copy, `ALTER DATABASE ${name}_copy SET ${setting}`);
  }
  await query(url, SCHEMA);
  const archive = await beginArchive(url, store, { plan: 'by-hand', database: name });
  const segments: StoredSegment[] = [];
  for (const change of CHANGES) {
    await query(url, change);
    segments.push(...(await archive.record(new Dice(1))));
  }
  await query(url, "SELECT pg_drop_replication_slot('holdfast_test')");
  return { url, copy, timeline: archive.timeline.id, segments };
}

async function decoded(segments: readonly StoredSegment[]): Promise<string> {
  const script = path.join(repository.path, 'decode.mjs');
  await writeFile(script, DECODE_SCRIPT);
  const files = segments.map(({ key }) => path.join(repository.path, key));
  return (await promisify(execFile)(process.execPath, [script, ...files])).stdout;
}

async function applied(sql: string, url: string): Promise<void> {
  const file = path.join(repository.path, 'changes.sql');
  await writeFile(file, sql);
  await promisify(execFile)(path.join(postgres.binDirectory, 'psql'), [
    ...['-X', '-v', 'ON_ERROR_STOP=1', '-q', '-o', '/dev/null', '-f', file, url],
  ]);
}

test('rows without a key, and rows of parents and children, come back as they are, whatever the settings of the database are', async () => {
  const { url, copy, segments } = await changedSource('settings', repository.store);
  await applied(await decoded(segments), copy);
  expect(await contentOf(copy)).toEqual(await contentOf(url));
});

test('signed segments can be decoded', async () => {
  const signer = newSigner();
  const { url, copy, segments } = await changedSource(
    'signed',
    signedStore(repository.store, signer, [signer]),
  );
  await applied(await decoded(segments), copy);
  expect(await contentOf(copy)).toEqual(await contentOf(url));
});

test('a transaction that two segments have is printed once, and a segment that is missing is named', async () => {
  const { url, copy, timeline, segments } = await changedSource('twice', repository.store);
  const id = { plan: 'by-hand', database: 'twice' };
  const [first, second, third] = segments;
  if (first === undefined || second === undefined || third === undefined) throw new Error('too few segments');
  // An archiver that was taken for dead has stored, from the same start, more than its successor's first segment.
  const messages = [
    ...(await messagesOf(repository.store, first)),
    ...(await messagesOf(repository.store, second)),
  ];
  const header = {
    ...{ formatVersion: 1, timeline, startLsn: first.startLsn, endLsn: second.endLsn },
    ...{ transactions: 2, messages: messages.length },
  };
  const frames = messages.map((message) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.length);
    return Buffer.concat([length, message]);
  });
  const body = compressFrame(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...frames]), 1);
  const range = { ...first, endLsn: second.endLsn, maxCommitMicros: second.maxCommitMicros };
  const beside = await putSegment(repository.store, id, timeline, range, body);
  await applied(await decoded([...segments, beside]), copy);
  expect(await contentOf(copy)).toEqual(await contentOf(url));
  await expect(decoded([first, ...segments.slice(2)])).rejects.toThrow(
    `the segments from ${first.endLsn} to ${third.startLsn} are missing`,
  );
});
