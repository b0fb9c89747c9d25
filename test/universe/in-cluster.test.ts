import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { clone } from '../../engines/universe/in-cluster/clone.ts';
import { type Reconciliation, reconcileSchedule } from '../../engines/universe/in-cluster/reconcile.ts';
import {
  checkWritesStopped,
  choresAfter,
  rewind,
  takeSafetySnapshot,
} from '../../engines/universe/in-cluster/rewind.ts';
import { rewindOnce } from '../../engines/universe/in-cluster/sealed-rewind.ts';
import { databaseLimits, scheduleSource } from '../../engines/universe/in-cluster/sources.ts';
import { openYbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { createSnapshotSchedule, listSnapshotSchedules } from '../../engines/universe/yb-admin/schedules.ts';
import { findSnapshot } from '../../engines/universe/yb-admin/snapshots.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { type Session, withSession } from '../../engines/ysql/server/session.ts';
import { planRecovery } from '../../planning/recovery/plan.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { sealRewind } from '../../repository/rewind-records.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { startUniverse, type Universe } from './launcher.ts';
import type { ProfileName } from './model.ts';

const MINUTE_MS = 60_000;
const POLICY = { intervalMs: 60 * MINUTE_MS, retentionMs: 3 * 24 * 60 * MINUTE_MS, adopt: false };
const { signal } = new AbortController();
const waiting = { signal, heartbeat: () => undefined, patienceMs: 60_000 };

let universe: Universe;
let context: Reconciliation;

async function start(profile: ProfileName): Promise<void> {
  universe = await startUniverse({ profile });
  const admin = await openYbAdmin(
    { masters: universe.masters, program: path.join(universe.binDirectory, 'yb-admin') },
    signal,
  );
  const repository = path.join(universe.directory, 'repository');
  await mkdir(repository);
  context = {
    admin,
    store: new DirectoryStore(repository),
    plan: 'orders',
    signal,
  };
}

async function database(name: string): Promise<void> {
  await query(universe.ysql('yugabyte'), `CREATE DATABASE ${name}`);
  await query(
    universe.ysql(name),
    'CREATE TABLE t (id int PRIMARY KEY, v text)',
    "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 100) i",
  );
}

async function withDatabase<T>(name: string, use: (session: Session) => Promise<T>): Promise<T> {
  return await withSession(parseConnectionUrl(universe.ysql(name)), name, signal, use);
}

const schedules = () => listSnapshotSchedules(context.admin);
const scheduled = async () => (await universe.view()).schedules.length;
/** Microseconds of the server's clock. */
const present = async () =>
  String(
    (
      await query(
        universe.ysql('yugabyte'),
        'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8::text AS at',
      )
    )[0]?.at,
  );
const rows = (name: string) => query(universe.ysql(name), 'SELECT * FROM t ORDER BY id');
const complete = () =>
  eventually('all snapshots are complete', async () =>
    (await universe.view()).snapshots.every(({ state }) => state !== 'CREATING'),
  );

describe.each<ProfileName>(['2.18', '2025.2'])('snapshot schedules of %s', (profile) => {
  beforeAll(() => start(profile));
  afterAll(() => universe.stop());

  test('are made, edited, left alone, and deleted with the wish; never two for a database', async () => {
    await database('orders');
    const made = await reconcileSchedule(context, 'ysql.orders', POLICY);
    expect(made).toMatchObject({ namespace: 'ysql.orders', done: 'created' });
    await complete();
    expect(await reconcileSchedule(context, 'ysql.orders', POLICY)).toEqual({ ...made, done: 'unchanged' });
    expect(
      await reconcileSchedule(context, 'ysql.orders', { ...POLICY, intervalMs: 30 * MINUTE_MS }),
    ).toEqual({ ...made, done: 'edited' });
    expect(await schedules()).toMatchObject([{ id: made?.schedule, intervalMs: 30 * MINUTE_MS }]);
    const other = { ...context, plan: 'another-plan' };
    await expect(reconcileSchedule(other, 'ysql.orders', POLICY)).rejects.toMatchObject({
      code: 'IN_CLUSTER_FOREIGN',
      transient: false,
    });
    expect(await scheduled()).toBe(1);
    expect(await reconcileSchedule(context, 'ysql.orders', undefined)).toEqual({ ...made, done: 'deleted' });
    await eventually('it is gone', async () => (await scheduled()) === 0);
    expect(await reconcileSchedule(context, 'ysql.orders', undefined)).toBeUndefined();
  });

  test('of somebody else are taken over when told to, and given back', async () => {
    await database('billing');
    const id = await createSnapshotSchedule(context.admin, 'ysql.billing', {
      intervalMs: 5 * MINUTE_MS,
      retentionMs: 60 * MINUTE_MS,
    });
    await complete();
    await expect(reconcileSchedule(context, 'ysql.billing', POLICY)).rejects.toMatchObject({
      code: 'IN_CLUSTER_FOREIGN',
    });
    expect(await reconcileSchedule(context, 'ysql.billing', { ...POLICY, adopt: true })).toEqual({
      namespace: 'ysql.billing',
      schedule: id,
      done: 'adopted',
    });
    expect(await schedules()).toMatchObject([
      { id, intervalMs: POLICY.intervalMs, retentionMs: POLICY.retentionMs },
    ]);
    expect(await reconcileSchedule(context, 'ysql.billing', POLICY)).toMatchObject({ done: 'unchanged' });
    expect(await reconcileSchedule(context, 'ysql.billing', undefined)).toMatchObject({ done: 'released' });
    expect(await schedules()).toHaveLength(1);
    await createSnapshotSchedule(context.admin, 'ysql.billing', {
      intervalMs: 5 * MINUTE_MS,
      retentionMs: 60 * MINUTE_MS,
    });
    await complete();
    await expect(
      reconcileSchedule(context, 'ysql.billing', { ...POLICY, adopt: true }),
    ).rejects.toMatchObject({ code: 'IN_CLUSTER_TWO' });
  });

  test('whose making was not learnt of are known again', async () => {
    await database('lost');
    await universe.act({ do: 'loseAnswer', operation: 'create_snapshot_schedule', times: 1 });
    await expect(reconcileSchedule(context, 'ysql.lost', POLICY)).rejects.toMatchObject({ transient: true });
    await complete();
    const before = await scheduled();
    expect(await reconcileSchedule(context, 'ysql.lost', POLICY)).toMatchObject({ done: 'created' });
    expect(await scheduled()).toBe(before);
    expect(await reconcileSchedule(context, 'ysql.lost', POLICY)).toMatchObject({ done: 'unchanged' });
  });
});

describe('going back within the universe', () => {
  beforeAll(() => start('2025.2'));
  afterAll(() => universe.stop());

  test('a rewind gives exactly the rows of the instant, dropped tables included, after a safety snapshot of what is there', async () => {
    await database('shop');
    await reconcileSchedule(context, 'ysql.shop', POLICY);
    await complete();
    await query(
      universe.ysql('shop'),
      "UPDATE t SET v = 'it''s [1]:''x''' WHERE id = 7",
      'DELETE FROM t WHERE id = 8',
      "INSERT INTO t VALUES (200, E'tab\\tline\\n')",
    );
    const wanted = await rows('shop');
    const instant = await present();
    await query(universe.ysql('shop'), 'DELETE FROM t WHERE id < 50');
    const mistaken = await rows('shop');
    await query(universe.ysql('shop'), 'ALTER TABLE t ADD COLUMN w int', 'CREATE TABLE later (id int)');

    const source = await scheduleSource(
      context.admin,
      ['ysql.shop'],
      new Date(),
      await withDatabase('shop', databaseLimits),
    );
    const iso = new Date(Number(BigInt(instant) / 1000n)).toISOString();
    expect(
      planRecovery(source === undefined ? [] : [source], { to: iso, replace: true }, { now: new Date() }),
    ).toMatchObject({ way: 'rewind', instant: iso });

    const safety = await takeSafetySnapshot(context.admin, 'ysql.shop', { retentionHours: 72 }, waiting);
    expect((await findSnapshot(context.admin, safety))?.state).toBe('COMPLETE');
    await rewind(context.admin, 'ysql.shop', instant, waiting);
    expect(await rows('shop')).toEqual(wanted);
    expect(mistaken).not.toEqual(wanted);
    expect(await query(universe.ysql('shop'), "SELECT to_regclass('later') AS later")).toEqual([
      { later: null },
    ]);
    // A second time, and to the same instant after further changes.
    await query(universe.ysql('shop'), 'DELETE FROM t');
    await rewind(context.admin, 'ysql.shop', instant, waiting);
    expect(await rows('shop')).toEqual(wanted);
  });

  test('a rewind with a record is asked for once: an attempt that lost the answer is gone on with, and one that is over is left alone', async () => {
    await database('sealed');
    await reconcileSchedule(context, 'ysql.sealed', POLICY);
    await complete();
    const wanted = await rows('sealed');
    const instant = new Date(Math.ceil(Number(BigInt(await present()) / 1000n)) + 1).toISOString();
    await sleep(50);
    await query(universe.ysql('sealed'), 'DELETE FROM t');
    const request = {
      plan: 'orders',
      restore: 'r-once',
      instant,
      databases: [{ from: 'sealed', to: 'sealed' }],
    };
    const once = { admin: context.admin, store: context.store, request, waiting };
    const asked = async () => (await universe.view()).calls.restore_snapshot_schedule ?? 0;
    const before = await asked();
    await universe.act({ do: 'loseAnswer', operation: 'restore_snapshot_schedule', times: 1 });
    await expect(rewindOnce(once, 0, 'ysql.sealed')).rejects.toMatchObject({ transient: true });
    expect(await rewindOnce(once, 0, 'ysql.sealed')).toBeUndefined();
    expect(await rows('sealed')).toEqual(wanted);
    await query(universe.ysql('sealed'), "INSERT INTO t VALUES (300, 'written since')");
    const since = await rows('sealed');
    expect(await rewindOnce(once, 0, 'ysql.sealed')).toMatch(
      /^sealed was taken back at .* what was written since stands\.$/,
    );
    expect(await rows('sealed')).toEqual(since);
    expect(await asked()).toBe(before + 1);
  });

  test('a rewind of which nobody knows whether it was asked for is not asked for an hour later', async () => {
    await database('silent');
    await reconcileSchedule(context, 'ysql.silent', POLICY);
    await complete();
    const request = {
      plan: 'orders',
      restore: 'r-silent',
      instant: new Date().toISOString(),
      databases: [{ from: 'silent', to: 'silent' }],
    };
    await sealRewind(context.store, {
      ...{ plan: 'orders', restore: 'r-silent', way: 'rewind', instant: request.instant },
      sealedAt: new Date(Date.now() - 61 * MINUTE_MS).toISOString(),
      ...{ databases: ['silent'], restorationsBefore: [] },
    });
    await query(universe.ysql('silent'), 'DELETE FROM t');
    const once = { admin: context.admin, store: context.store, request, waiting };
    await expect(rewindOnce(once, 0, 'ysql.silent')).rejects.toMatchObject({
      code: 'REWIND_NOT_KNOWN',
      transient: false,
    });
    expect(await rows('silent')).toEqual([]);
  });

  test('what is refused: an instant before the history, writers, a restoration that fails', async () => {
    await database('guarded');
    await reconcileSchedule(context, 'ysql.guarded', POLICY);
    await complete();
    const long = String(BigInt(await present()) - 3_600_000_000n);
    await expect(rewind(context.admin, 'ysql.guarded', long, waiting)).rejects.toMatchObject({
      transient: false,
    });
    await expect(rewind(context.admin, 'ysql.nothing', long, waiting)).rejects.toMatchObject({
      code: 'IN_CLUSTER_NO_SCHEDULE',
    });

    const guard = (session: Session) =>
      checkWritesStopped(session, {
        target: parseConnectionUrl(universe.ysql('guarded')),
        signal: new AbortController().signal,
        aliveHosts: new Set<string>(),
      });
    await withDatabase('guarded', guard);
    const writer = new Client({ connectionString: universe.ysql('guarded') });
    await writer.connect();
    await writer.query('BEGIN; UPDATE t SET v = v');
    await expect(withDatabase('guarded', guard)).rejects.toMatchObject({
      code: 'WRITES_NOT_STOPPED',
    });
    await writer.end();

    await universe.act({ do: 'restorations', end: 'failed' });
    await expect(rewind(context.admin, 'ysql.guarded', await present(), waiting)).rejects.toMatchObject({
      code: 'REWIND_FAILED',
    });
    await universe.act({ do: 'restorations', end: 'well' });
  });

  test('what is left to do by hand is named', async () => {
    await database('chores');
    await query(
      universe.ysql('chores'),
      'CREATE INDEX half_made ON t (v)',
      "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half_made'::regclass",
    );
    await query(
      universe.ysql('chores'),
      "SELECT pg_create_logical_replication_slot('reader', 'test_decoding')",
    );
    expect(await withDatabase('chores', choresAfter)).toEqual([
      expect.stringContaining('Index public.half_made in chores is not valid'),
      expect.stringContaining('Change data capture slot reader of chores'),
    ]);
    expect(await withDatabase('chores', databaseLimits)).toEqual([
      expect.objectContaining({ ways: ['rewind'], reason: expect.stringContaining('reader') }),
    ]);
  });

  test('a clone is another database as of the instant; begun once, whatever is asked how often', async () => {
    await database('model');
    await reconcileSchedule(context, 'ysql.model', POLICY);
    await complete();
    await query(universe.ysql('model'), "INSERT INTO t VALUES (1000, 'new')");
    const wanted = await rows('model');
    const instant = await present();
    await query(universe.ysql('model'), 'DELETE FROM t');
    await universe.act({ do: 'loseAnswer', operation: 'clone_namespace', times: 1 });
    await expect(clone(context.admin, 'model', 'model_then', instant, waiting)).rejects.toMatchObject({
      transient: true,
    });
    await clone(context.admin, 'model', 'model_then', instant, waiting);
    expect(await rows('model_then')).toEqual(wanted);
    expect(await rows('model')).toEqual([]);
    await expect(clone(context.admin, 'model', 'shop', instant, waiting)).rejects.toMatchObject({
      code: 'TARGET_EXISTS',
    });
  });
});
