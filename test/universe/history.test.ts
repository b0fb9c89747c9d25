import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { said } from './by-hand.ts';
import { startUniverse, type Universe } from './launcher.ts';

/**
 * The history that a schedule's snapshots carry, as `shared/facts/change-archive.md` ("Alternative for universes") states it: `restore_snapshot` takes an
 * instant within it, and nothing there checks whether the instant is within it.
 */

let universe: Universe;

beforeAll(async () => {
  universe = await startUniverse();
  await query(universe.ysql('yugabyte'), 'CREATE DATABASE shop');
  await query(
    universe.ysql('shop'),
    'CREATE TABLE t (id int PRIMARY KEY, v text)',
    'CREATE INDEX t_by_v ON t (v)',
    "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 50) i",
  );
});
afterAll(() => universe.stop());

const rows = () => query(universe.ysql('shop'), 'SELECT id, v FROM t ORDER BY id');

/** An instant in microseconds after what was committed and before what follows. */
async function now(): Promise<string> {
  await sleep(10);
  const instant = `${Date.now()}000`;
  await sleep(10);
  return instant;
}

interface Schedules {
  readonly schedules: readonly {
    readonly snapshots: readonly { readonly id: string; readonly snapshot_time: string }[];
  }[];
}

async function snapshots() {
  const { schedules } = JSON.parse(await said(universe, 'list_snapshot_schedules')) as Schedules;
  return schedules[0]?.snapshots ?? [];
}

async function nextSnapshot(): Promise<string> {
  const before = (await snapshots()).length;
  await universe.act({ do: 'takeScheduled' });
  await eventually('the next snapshot is complete', async () => (await snapshots()).length > before);
  return (await snapshots()).at(-1)?.id ?? '';
}

async function restore(snapshot: string, micros: string): Promise<string> {
  const started = await said(universe, 'restore_snapshot', snapshot, micros);
  const id = /Restoration id: (\S+)/.exec(started)?.[1] ?? '';
  const state = async () => (await universe.view()).restorations.find((one) => one.id === id)?.state;
  await eventually('the restoration ends', async () => (await state()) !== 'RESTORING');
  return (await state()) ?? '';
}

test('the rows of each instant come back from the snapshot’s files; outside of its history, and before a change of the schema, others do without a word', async () => {
  await said(universe, 'create_snapshot_schedule', '15', '240', 'ysql.shop');
  await eventually('the first snapshot is complete', async () => (await snapshots()).length === 1);
  const early = await now();
  const beginning = await rows();
  await query(universe.ysql('shop'), "INSERT INTO t VALUES (100, E'a\\tb')", 'DELETE FROM t WHERE id <= 10');
  const first = await now();
  const afterFirst = await rows();
  await query(universe.ysql('shop'), "UPDATE t SET v = 'changed' WHERE id % 2 = 0");
  const snapshot = await nextSnapshot();
  const afterSecond = await rows();
  const second = await now();
  await query(universe.ysql('shop'), 'DELETE FROM t');

  expect(await restore(snapshot, first)).toBe('RESTORED');
  expect(await rows()).toEqual(afterFirst);
  expect(await restore(snapshot, early)).toBe('RESTORED');
  expect(await rows()).toEqual(beginning);

  // An hour before its history, and after its end: nobody is told.
  expect(await restore(snapshot, String(BigInt(early) - 3_600_000_000n))).toBe('RESTORED');
  expect(await rows()).toEqual(beginning);
  expect(await restore(snapshot, second)).toBe('RESTORED');
  expect(await rows()).toEqual(afterSecond);
});

test('before a change of the schema the rows come out in the form of the later one', async () => {
  await nextSnapshot();
  const before = await now();
  await query(universe.ysql('shop'), "ALTER TABLE t ADD COLUMN more text DEFAULT 'x'");
  await query(universe.ysql('shop'), "INSERT INTO t VALUES (500, 'new', 'more')");
  const after = await now();
  await query(universe.ysql('shop'), 'DELETE FROM t');
  const snapshot = await nextSnapshot();
  expect(await restore(snapshot, after)).toBe('RESTORED');
  expect(await query(universe.ysql('shop'), 'SELECT more FROM t WHERE id = 500')).toEqual([{ more: 'more' }]);
  // It restores, and nobody says that a column was not there then.
  expect(await restore(snapshot, before)).toBe('RESTORED');
  expect(await query(universe.ysql('shop'), 'SELECT DISTINCT more FROM t')).toEqual([{ more: 'x' }]);
});
