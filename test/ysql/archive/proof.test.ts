import { decodeMessage } from '../../../engines/ysql/archive/messages.ts';
import { archiveSources } from '../../../engines/ysql/archive/sources.ts';
import { verifyArchive } from '../../../engines/ysql/archive/verify.ts';
import { microsOfIso, type StoredSegment } from '../../../model/archive.ts';
import { HoldfastError } from '../../../model/errors.ts';
import type { CatalogueEntry } from '../../../model/recovery.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { refutes } from '../../../planning/archive/proofs.ts';
import { readTimelines } from '../../../repository/archive/archive.ts';
import { putProof } from '../../../repository/archive/proofs.ts';
import { manifestKey } from '../../../repository/layout.ts';
import { putSealed } from '../../../repository/sealed-object.ts';
import { Dice } from '../../crash/dice.ts';
import { query } from '../../support/sql.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  type TestBackup,
  type TestRepository,
  takeBackup,
} from '../harness.ts';
import { beginArchive, type TestArchive } from './record.ts';
import { messagesOf, rewriteSegment } from './rewrite.ts';

/*
 * Two backups, and the changes between them as PostgreSQL sent them: what a proof says of them as they are, and after one message was
 * dropped or put elsewhere, with right headers, names and checksums.
 */

const DATABASE = 'past';
const SEED = Number(process.env.ARCHIVE_SEED ?? 20);

let postgres: PostgresServer;
let repository: TestRepository;
let archive: TestArchive;
let base: TestBackup;
let later: TestBackup;
/** Of the whole archive, one segment. */
let segment: StoredSegment;
let messages: readonly Buffer[];

beforeAll(async () => {
  [postgres, repository] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical' } }),
    createRepository(),
  ]);
  await query(postgres.url(), `CREATE DATABASE ${DATABASE}`);
  const url = postgres.url(DATABASE);
  await query(
    url,
    'CREATE TABLE orders (id int PRIMARY KEY, note text); CREATE TABLE log (client int, line text); ALTER TABLE log REPLICA IDENTITY FULL',
    "INSERT INTO orders SELECT i, 'base' FROM generate_series(1, 50) i; INSERT INTO log SELECT i, 'base' FROM generate_series(1, 20) i",
  );
  const dice = new Dice(SEED);
  archive = await beginArchive(url, repository.store, { plan: 'zoo', database: DATABASE });
  let number = 0;
  const write = async (transactions: number) => {
    for (let each = 0; each < transactions; each += 1) {
      number += 1;
      const id = Math.floor(dice.between(1, 50));
      await query(
        url,
        [
          'BEGIN',
          `INSERT INTO orders VALUES (${1000 + number}, 'new ${number}')`,
          `UPDATE orders SET note = 'first ${number}' WHERE id = ${id}`,
          `UPDATE orders SET note = 'second ${number}' WHERE id = ${id}`,
          `INSERT INTO log VALUES (${number}, 'line ${number}')`,
          dice.chance(0.3)
            ? `DELETE FROM orders WHERE id = ${1000 + Math.floor(dice.between(1, number))}`
            : 'SELECT 1',
          `DELETE FROM log WHERE line = 'line ${number - 3}'`,
          'COMMIT',
        ].join('; '),
      );
    }
  };
  await write(3);
  base = await takeBackup(repository, url, undefined, () => write(2));
  await write(12);
  later = await takeBackup(repository, url, undefined, () => write(2));
  await write(2);
  for (const { manifest } of [base, later])
    await putSealed(repository.store, manifestKey(manifest), manifest);
  for (const stored of await archive.record(wholeSegments)) segment = stored;
  messages = await messagesOf(repository.store, segment);
});

afterAll(async () => {
  await postgres?.stop();
  await repository?.remove();
});

/** Never closes a segment early. */
const wholeSegments = { chance: () => true } as unknown as Dice;

const placeOf = ({ readPoint }: TestBackup) => {
  if (readPoint.kind !== 'pg-snapshot' || readPoint.place === undefined) throw new Error('no place');
  return readPoint.place;
};

function proof() {
  return runRestore(
    restoreContext(base, postgres.url(), {
      ...{ scratch: true, check: 'content' },
      replay: {
        to: placeOf(later).seenBy,
        timelines: { [DATABASE]: archive.timeline.id },
        proves: later.context.ref.backup,
      },
    }),
  );
}

/** What refutes a stretch: differences, or the error that ends the replay. */
async function problemsOfProof(): Promise<readonly string[]> {
  try {
    return (await proof()).problems;
  } catch (error) {
    if (error instanceof HoldfastError && refutes(error)) return [error.code];
    throw error;
  }
}

/** Puts other messages in the segment's place while `work` runs. */
async function withMessages<T>(changed: readonly Buffer[], work: () => Promise<T>): Promise<T> {
  const rewritten = await rewriteSegment(repository.store, archive.timeline, segment, changed);
  try {
    return await work();
  } finally {
    await rewritten.undo();
  }
}

interface Change {
  readonly at: number;
  readonly kind: string;
  /** What row it is of. */
  readonly row: string;
  readonly xid: number;
}

/** The changes that belong to the stretch by their transaction, in order. */
function changesOfStretch(): readonly Change[] {
  const [from, to] = [base, later].map((backup) =>
    Number(placeOf(backup).snapshotXids[DATABASE]?.split(':')[1]),
  );
  const changes: Change[] = [];
  let xid = 0;
  for (const [at, bytes] of messages.entries()) {
    const message = decodeMessage(bytes);
    if (message.kind === 'begin') xid = message.xid;
    if (xid < (from ?? 0) || xid >= (to ?? 0)) continue;
    if (message.kind === 'insert' || message.kind === 'update')
      changes.push({ at, kind: message.kind, xid, row: `${message.oid} ${message.row[0]}` });
    if (message.kind === 'delete')
      changes.push({ at, kind: message.kind, xid, row: `${message.oid} ${message.old.tuple[0]}` });
  }
  return changes;
}

/** Changes that no later one of their row makes up for. */
function lastOfTheirRows(kind: string): readonly Change[] {
  const changes = changesOfStretch();
  return changes.filter(
    (change, index) =>
      change.kind === kind && !changes.slice(index + 1).some(({ row }) => row === change.row),
  );
}

const verifies = () =>
  verifyArchive(repository.store, 'zoo', 'content', { signal: new AbortController().signal });

test('the changes between two backups, replayed from the first, give the second, and the proof says what it compared', async () => {
  const outcome = await proof();
  expect(outcome).toMatchObject({ problems: [], tables: 2 });
  expect(outcome.compared).toMatch(
    new RegExp(
      `^content of 2 tables with backup ${later.context.ref.backup} after 1[0-9] transactions were replayed$`,
    ),
  );
  expect(outcome).not.toHaveProperty('unclear');
});

test.each(['insert', 'update', 'delete'])(
  'a dropped %s, with right checksums, passes the verification and is found by the proof',
  async (kind) => {
    const dropped = new Dice(SEED).pick(lastOfTheirRows(kind));
    await withMessages(
      messages.filter((_message, at) => at !== dropped.at),
      async () => {
        await expect(verifies()).resolves.toMatchObject({ verdict: 'OK' });
        await expect(problemsOfProof()).resolves.not.toEqual([]);
      },
    );
  },
);

test('two updates of a row in each other’s place, with right checksums, are found by the proof', async () => {
  const changes = changesOfStretch();
  const pairs = changes.flatMap((one, index) => {
    const other = changes[index + 1];
    const isPair = other?.row === one.row && one.kind === 'update' && other.kind === 'update';
    const isLast = !changes.slice(index + 2).some(({ row }) => row === one.row);
    return isPair && isLast ? [[one.at, other.at] as const] : [];
  });
  const [one, other] = new Dice(SEED).pick(pairs);
  const changed = messages.map((message, at) =>
    at === one ? (messages[other] ?? message) : at === other ? (messages[one] ?? message) : message,
  );
  await withMessages(changed, async () => {
    await expect(verifies()).resolves.toMatchObject({ verdict: 'OK' });
    await expect(problemsOfProof()).resolves.not.toEqual([]);
  });
});

test('a whole transaction that is missing is found by the proof', async () => {
  const { xid } = new Dice(SEED).pick(lastOfTheirRows('insert'));
  let open = 0;
  const changed = messages.filter((bytes) => {
    const message = decodeMessage(bytes);
    if (message.kind === 'begin') open = message.xid;
    return open !== xid || message.kind === 'relation';
  });
  await withMessages(changed, async () => {
    await expect(verifies()).resolves.toMatchObject({ verdict: 'OK' });
    await expect(problemsOfProof()).resolves.not.toEqual([]);
  });
});

test('a stretch that a proof refuted is never offered or replayed again, and the backup behind it is a base as before', async () => {
  const { store } = repository;
  const [fromMicros, toMicros] = [base, later].map((backup) => microsOfIso(placeOf(backup).seenBy));
  const entries = [base, later].map(
    ({ context, readPoint }): CatalogueEntry => ({
      ...{ backup: context.ref.backup, instant: readPoint.takenAt, completedAt: readPoint.takenAt },
      ...{ rows: 1, bytes: 1, storedBytes: 1, contents: 'all' },
    }),
  );
  const before = await archiveSources(store, 'zoo', entries);
  expect(before.map((source) => ('windows' in source ? source.windows.length : 0))).toEqual([1, 1]);
  await putProof(store, {
    ...{ formatVersion: 1, plan: 'zoo', database: DATABASE, timeline: archive.timeline.id },
    ...{ base: base.context.ref.backup, against: later.context.ref.backup },
    ...{ fromMicros: fromMicros ?? 0, toMicros: toMicros ?? 0 },
    ...{
      verdict: 'FAILED',
      compared: 'content',
      problems: ['orders differs'],
      provedAt: new Date().toISOString(),
    },
  });
  expect((await readTimelines(store, { plan: 'zoo', database: DATABASE }))[0]?.proofs).toMatchObject([
    { fromMicros, toMicros, verdict: 'FAILED' },
  ]);
  const after = await archiveSources(store, 'zoo', entries);
  expect(after).toMatchObject([
    { base: { backup: later.context.ref.backup }, windows: [expect.anything()] },
    {
      base: { backup: base.context.ref.backup },
      windows: [],
      passedOver: expect.stringMatching(/a proof has refuted the changes after the backup/),
    },
  ]);
  const instant = restoreContext(base, postgres.url(), {
    replay: { to: placeOf(later).seenBy, timelines: { [DATABASE]: archive.timeline.id } },
  });
  await expect(runRestore(instant)).rejects.toMatchObject({
    code: 'ARCHIVE_NO_CHAIN',
    message: expect.stringMatching(/a proof has refuted the changes after the backup/),
  });
});
