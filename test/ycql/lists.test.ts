import { setTimeout as sleep } from 'node:timers/promises';
import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { Claim } from '../../engines/ycql/restore/claim.ts';
import { Journal, objectItem } from '../../engines/ycql/restore/journal.ts';
import type { CqlSession } from '../../engines/ycql/session.ts';
import { compareKeyspaces, openSession } from './compare.ts';
import { restoreContext, runRestore, takeBackup, ycqlSource } from './harness.ts';
import { useCassandra } from './stage.ts';
import { plainClient, run } from './zoo.ts';

/* Lists are the one thing that is not the same when it is written twice. */

const stage = useCassandra({}, 'lists', 'claims');
let session: CqlSession;

beforeAll(async () => {
  session = await openSession(stage.cluster);
});

afterAll(() => session?.close());

const quiet = new AbortController().signal;

const sourceOf = (table: string, chunkBytes: number) =>
  ycqlSource(stage.cluster, {
    keyspaces: { include: ['lists'], exclude: [] },
    tables: { include: [`lists.${table}`], exclude: [] },
    chunkBytes,
    load: { inFlightPerNode: 8, pageRows: 20 },
  });

const ROWS = 90;
const ATTEMPTS = 3;

test('an object whose every attempt but the last dies before it is noted leaves no element of a list twice, none lost, and none that has expired', async () => {
  await run(
    stage.cluster,
    'CREATE TABLE lists.died (p int, c int, s list<int> static, l list<int>, v text, PRIMARY KEY (p, c))',
  );
  const client = plainClient(stage.cluster);
  try {
    for (let row = 0; row < ROWS; row += 1) {
      const where = `WHERE p = ${row % 9} AND c = ${row}`;
      const at = 1_700_000_000_000_000 + row * 1_000;
      // Some expire while attempts follow each other, in the middle of a list and at its end; others in a day.
      const soon = 2 + (row % 17);
      for (const statement of [
        `UPDATE lists.died USING TIMESTAMP ${at} SET l = [1, 1, 2], v = 'x' ${where}`,
        `UPDATE lists.died USING TIMESTAMP ${at + 5} AND TTL ${soon} SET l = l + [3] ${where}`,
        `UPDATE lists.died USING TIMESTAMP ${at + 3} SET l = l + [4, 1] ${where}`,
        `UPDATE lists.died USING TIMESTAMP ${at + 9} AND TTL 86400 SET l = [0] + l ${where}`,
        `UPDATE lists.died USING TIMESTAMP ${at + 9} AND TTL ${soon + 2} SET l = l + [5] ${where}`,
        `UPDATE lists.died USING TIMESTAMP ${at + row} SET s = s + [${row}] WHERE p = ${row % 9}`,
      ])
        await client.execute(statement);
    }
    const backup = await takeBackup(stage.repository, sourceOf('died', 100_000));
    const restore = restoreContext(backup, { into: { lists: 'died' } });
    const { tasks } = await ycqlEngine.restore.plan(restore);
    await ycqlEngine.restore.prepare(restore);
    const journal = new Journal(session, 'died', quiet);
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      for (let task = 0; task < tasks; task += 1)
        await ycqlEngine.restore.load({ ...restore, attempt }, task);
      if (attempt === ATTEMPTS) break;
      for (const { key } of backup.objects) await journal.set(objectItem(key), 'begun by one that died');
    }
    // The longest lives 20 s; what is left of it is restored in whole seconds, so that the copy's may live a little longer.
    const over = 25_000;
    await sleep(over - Math.min(over, Date.now() - Date.parse(backup.readPoint.takenAt)));
    const { rows, differences } = await compareKeyspaces(stage.cluster, 'lists', 'died', ['died']);
    expect(differences).toEqual([]);
    expect(rows).toBe(ROWS);
    const { rows: kept } = await client.execute('SELECT l FROM died.died');
    for (const { l } of kept) expect(l).toEqual([0, 1, 1, 2, 4, 1]);
  } finally {
    await client.shutdown();
  }
});

test('a list of a partition that goes over several objects comes back once', async () => {
  await run(
    stage.cluster,
    'CREATE TABLE lists.large (p int, c int, s list<int> static, v blob, PRIMARY KEY (p, c))',
  );
  const client = plainClient(stage.cluster);
  try {
    for (const p of [1, 2, 3]) {
      await client.execute(
        `UPDATE lists.large USING TIMESTAMP 1700000000000000 SET s = [7, ${p}] WHERE p = ${p}`,
      );
      for (let c = 0; c < 100; c += 1)
        await client.execute(`INSERT INTO lists.large (p, c, v) VALUES (${p}, ${c}, 0x${'ab'.repeat(100)})`);
    }
    const backup = await takeBackup(stage.repository, sourceOf('large', 9_000));
    expect(backup.objects.length).toBeGreaterThan(5);
    const { problems } = await runRestore(restoreContext(backup, { into: { lists: 'large' } }));
    expect(problems).toEqual([]);
    const { rows } = await client.execute('SELECT DISTINCT p, s FROM large.large');
    expect(Object.fromEntries(rows.map(({ p, s }) => [p, s]))).toEqual({ 1: [7, 1], 2: [7, 2], 3: [7, 3] });
  } finally {
    await client.shutdown();
  }
});

test('of two attempts at one item the first writes no more once the second has begun, and notes nothing', async () => {
  const journal = new Journal(session, 'claims', quiet);
  await journal.create();
  const first = await Claim.take(journal, 'an object', quiet);
  const second = await Claim.take(journal, 'an object', quiet);
  expect([first?.isFirst, second?.isFirst]).toEqual([true, false]);
  await second?.outwait();
  await expect(first?.check()).rejects.toMatchObject({ code: 'RESTORE_SUPERSEDED', transient: true });
  await expect(first?.end('done by the first')).rejects.toMatchObject({ code: 'RESTORE_SUPERSEDED' });
  await second?.check();
  await second?.end('done by the second');
  expect(await journal.get('an object')).toBe('done by the second');
  expect(await Claim.take(journal, 'an object', quiet)).toBeUndefined();
  await expect(second?.end('done again')).rejects.toMatchObject({ code: 'RESTORE_SUPERSEDED' });
});

test('of many who begin at once one is the first', async () => {
  const journal = new Journal(session, 'claims', quiet);
  const all = await Promise.all(Array.from({ length: 8 }, () => Claim.take(journal, 'many', quiet)));
  expect(all.filter((claim) => claim?.isFirst)).toHaveLength(1);
});
