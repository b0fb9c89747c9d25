import pg from 'pg';
import type { RestoreContext } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import type { LogicalRestoreRequest } from '../../model/backup.ts';
import { HoldfastError } from '../../model/errors.ts';
import { restoreRecordKey } from '../../repository/layout.ts';
import { findRestoreRecord } from '../../repository/restore-records.ts';
import { sealJson } from '../../repository/sealed-json.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { query } from '../support/sql.ts';
import {
  createRepository,
  restoreContext,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

const { restore } = ysqlEngine;

/*
 * The end of a restore that replaces a database: each statement of it is made to fail in turn, for good or for once, and Temporal's
 * state is put back. Whatever happens, what is said to stand under each name is what stands there.
 */

/** HOLDFAST_FINISH_FAULTS=all strikes each statement; else every seventh, from one on that the seed names. */
const STEP = process.env.HOLDFAST_FINISH_FAULTS === 'all' ? 1 : 7;
const FIRST = STEP === 1 ? 1 : 1 + (Math.abs(Number(process.env.PROPERTY_SEED ?? 1)) % STEP);

describe('the end of a restore that replaces', () => {
  let server: TestServer;
  let repository: TestRepository;
  let backup: TestBackup;
  let count = 0;

  beforeAll(async () => {
    server = await startServer(15, { max_prepared_transactions: '4', wal_level: 'logical' });
    repository = await createRepository();
    await query(
      server.url(),
      'CREATE ROLE shop_owner',
      'CREATE DATABASE shop OWNER shop_owner',
      "COMMENT ON DATABASE shop IS 'the shop'",
      'ALTER DATABASE shop SET default_transaction_read_only = on',
      'ALTER DATABASE shop CONNECTION LIMIT 7',
      "ALTER ROLE shop_owner IN DATABASE shop SET work_mem = '5MB'",
    );
    await query(
      server.url('shop'),
      'SET default_transaction_read_only = off',
      'CREATE TABLE orders (id serial PRIMARY KEY, note text)',
      "INSERT INTO orders (note) SELECT 'from the backup' FROM generate_series(1, 10)",
      'CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.orders (note) VALUES (tg_tag); END $$',
      'CREATE EVENT TRIGGER noted ON sql_drop EXECUTE FUNCTION noted()',
      'ALTER EVENT TRIGGER noted ENABLE ALWAYS',
    );
    backup = await takeBackup(repository, server.url('shop'), ysqlSource());
  });

  afterAll(async () => {
    jest.restoreAllMocks();
    await server?.stop();
    await repository?.remove();
  });

  /** A database with what was written since the backup, and a restore that is about to replace it, all but its end done. */
  async function almostDone(changes: Partial<LogicalRestoreRequest> = {}) {
    count += 1;
    const live = `live_${count}`;
    await query(server.url(), `CREATE DATABASE ${live}`);
    await query(
      server.url(live),
      'CREATE TABLE orders (id serial PRIMARY KEY, note text)',
      "INSERT INTO orders (note) VALUES ('live')",
    );
    const id = `r${count}`;
    const request = { restore: id, into: { shop: live }, replace: true, ...changes };
    const context = restoreContext(backup, server.url(), request);
    const plan = await restore.plan(context);
    await restore.prepare(context);
    for (let task = 0; task < plan.tasks; task += 1) await restore.load(context, task);
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) await restore.postData(context, { wave, unit, units });
    }
    return { context, live, working: `${live}_restoring_${id}`, kept: `${live}_before_${id}` };
  }

  /** What stands under a name: `live`, `restored`, or nothing. Fails where bookkeeping is left, or nobody may connect. */
  async function under(name: string): Promise<'live' | 'restored' | undefined> {
    const [found] = await query(
      server.url(),
      `SELECT datallowconn AS open FROM pg_database WHERE datname = '${name}'`,
    );
    if (found === undefined) return undefined;
    expect({ name, open: found.open }).toEqual({ name, open: true });
    const [content] = await query(
      server.url(name),
      "SELECT min(note) AS note, to_regclass('holdfast_restore.state') AS left FROM orders",
    );
    expect({ name, left: content?.left }).toEqual({ name, left: null });
    if (content?.note === 'live') return 'live';
    // The event trigger saw nothing of what the restore did, and is as it was.
    const [watched] = await query(
      server.url(name),
      'SELECT count(*)::int AS rows, (SELECT evtenabled FROM pg_event_trigger) AS enabled FROM orders',
    );
    expect({ name, ...watched }).toEqual({ name, rows: 10, enabled: 'A' });
    return 'restored';
  }

  async function stands({ live, working, kept }: Awaited<ReturnType<typeof almostDone>>) {
    return { live: await under(live), working: await under(working), kept: await under(kept) };
  }

  const EXCHANGED = { live: 'restored', working: undefined, kept: 'live' };
  const UNTOUCHED = { live: 'live', working: undefined, kept: undefined };
  const BESIDE = { live: 'live', working: 'restored', kept: undefined };

  /** Runs `work` with its n-th statement failing: refused by the server for good, or with the connection cut. */
  async function failingAt<T>(
    place: number,
    how: 'refused' | 'cut',
    work: () => Promise<T>,
  ): Promise<{
    readonly statements: number;
    readonly struck: string | undefined;
    readonly outcome: T | undefined;
    readonly error: unknown;
  }> {
    const original = pg.Client.prototype.query;
    let statements = 0;
    let struck: string | undefined;
    const spy = jest.spyOn(pg.Client.prototype, 'query').mockImplementation(function (
      this: pg.Client,
      ...args: unknown[]
    ) {
      statements += 1;
      if (statements === place && typeof args[0] === 'string') {
        struck = args[0];
        if (how === 'refused') return Promise.reject(refusal());
        // The statement may have come through before the connection went.
        const asked: unknown = Reflect.apply(original, this, args);
        if (asked instanceof Promise) asked.catch(() => undefined);
        this.connection.stream.destroy();
        return asked;
      }
      return Reflect.apply(original, this, args);
    });
    try {
      return { outcome: await work(), error: undefined, statements, struck };
    } catch (error) {
      return { outcome: undefined, error, statements, struck };
    } finally {
      spy.mockRestore();
    }
  }

  function refusal(): pg.DatabaseError {
    const error = new pg.DatabaseError('this statement is refused by the test', 0, 'error');
    error.code = '42501';
    return error;
  }

  /** As the workflow: tries again what passes; after a failure for good drops what was made, and says what stands. */
  async function asTemporal(context: RestoreContext, how: 'refused' | 'cut', place: number) {
    const first = await failingAt(place, how, () => restore.finish(context));
    if (first.error === undefined) return { ...first, said: [] };
    const passes = first.error instanceof HoldfastError && first.error.transient;
    if (passes) return { ...first, outcome: await restore.finish({ ...context, attempt: 2 }), said: [] };
    return { ...first, said: await restore.discard(context) };
  }

  test('keeps the database that was there, gives properties, and leaves no bookkeeping', async () => {
    const run = await almostDone();
    const outcome = await restore.finish(run.context);
    expect(outcome).toMatchObject({
      problems: [],
      databases: [{ from: 'shop', to: run.live, kept: run.kept }],
    });
    expect(await stands(run)).toEqual(EXCHANGED);
    const properties = await query(
      server.url(),
      `SELECT datconnlimit, shobj_description(oid, 'pg_database') AS comment, pg_get_userbyid(datdba) AS owner,
         (SELECT json_agg(setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
       FROM pg_database d WHERE datname = '${run.live}'`,
    );
    expect(properties).toEqual([
      {
        datconnlimit: 7,
        comment: 'the shop',
        owner: 'shop_owner',
        settings: expect.arrayContaining([['work_mem=5MB'], ['default_transaction_read_only=on']]),
      },
    ]);
  });

  test.each(['refused', 'cut'] as const)(
    'says what stands under which name when any of its statements is %s',
    async (how) => {
      const seen = new Map<string, number>();
      for (let place = FIRST; ; place += STEP) {
        const run = await almostDone();
        const result = await asTemporal(run.context, how, place);
        if (result.struck === undefined && place > result.statements) break;
        const now = await stands(run);
        const which = { place, struck: result.struck };
        if (result.outcome !== undefined) {
          expect({ ...which, now }).toEqual({ ...which, now: EXCHANGED });
          expect(result.outcome).toMatchObject({
            problems: [],
            databases: [{ to: run.live, kept: run.kept }],
          });
        } else {
          const record = await findRestoreRecord(repository.store, {
            plan: run.context.ref.plan,
            restore: run.context.request.restore,
          });
          expect({ ...which, now }).toEqual({ ...which, now: expectedOf(record !== undefined, result.said) });
        }
        const kind = result.outcome === undefined ? (result.said[0] ?? 'dropped') : 'exchanged';
        seen.set(kind.replaceAll(/\d+/g, 'n'), (seen.get(kind.replaceAll(/\d+/g, 'n')) ?? 0) + 1);
        for (const name of [run.live, run.working, run.kept]) {
          await query(server.url(), `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
        }
      }
      // The loop met each stage: before the record, and after it.
      expect(seen.size).toBeGreaterThan(how === 'refused' ? 1 : 0);
    },
  );

  /** What must stand, by what was said. */
  function expectedOf(sealed: boolean, said: readonly string[]) {
    if (!sealed) {
      expect(said).toEqual([]);
      return UNTOUCHED;
    }
    const [sentence = ''] = said;
    if (sentence.includes('is complete and stands beside it')) return BESIDE;
    expect(sentence).toMatch(
      /^Database "live_\d+" is the restored "shop"\. What was there before is "live_\d+_before_r\d+"\.$/,
    );
    return EXCHANGED;
  }

  test('is not run again when Temporal is put back to an older state: rows written since stay', async () => {
    const run = await almostDone();
    await restore.finish(run.context);
    await query(
      server.url(run.live),
      'SET default_transaction_read_only = off',
      "INSERT INTO orders (note) VALUES ('written since')",
    );
    const ended = {
      code: 'RESTORE_ENDED_BEFORE',
      message: expect.stringContaining(`"${run.live}" is the restored "shop"`),
    };
    await expect(restore.plan(run.context)).rejects.toMatchObject(ended);
    await expect(restore.prepare(run.context)).rejects.toMatchObject(ended);
    await expect(restore.load(run.context, 0)).rejects.toMatchObject(ended);
    await expect(restore.postData(run.context, { wave: 0, unit: 0, units: 1 })).rejects.toMatchObject(ended);
    expect(await restore.finish(run.context)).toMatchObject({
      problems: [],
      databases: [{ kept: run.kept }],
    });
    expect(await restore.discard(run.context)).toEqual([expect.stringContaining('is the restored "shop"')]);
    expect(await query(server.url(run.live), 'SELECT count(*)::int AS rows FROM orders')).toEqual([
      { rows: 11 },
    ]);
  });

  test('is not told by whoever can write into the repository: his record ends nothing and speaks for nothing', async () => {
    const run = await almostDone();
    const forge = async ({ context, live, working, kept }: typeof run) => {
      const { plan, backup } = context.ref;
      const record = {
        plan,
        backup,
        restore: context.request.restore,
        sealedAt: new Date().toISOString(),
        databases: [{ from: 'shop', to: live, working, created: true, kept }],
        compared: 'every row, says the forger',
        result: { rows: 4711, bytes: 4711, problems: [], leftOut: [] },
      };
      const body = sealJson(record);
      await repository.store.put(restoreRecordKey(record), body, {
        sha256: sha256Hex(body),
        ifAbsent: false,
      });
    };
    await forge(run);
    await query(server.url(run.working), 'DELETE FROM orders WHERE id = 1');
    const outcome = await restore.finish(run.context);
    expect(outcome.problems).not.toEqual([]);
    expect(await query(server.url(run.live), 'SELECT note FROM orders')).toEqual([{ note: 'live' }]);
    expect(await restore.discard(run.context)).toEqual([]);
    expect(await stands(run)).toEqual(UNTOUCHED);

    const whole = await almostDone();
    await forge(whole);
    const ended = await restore.finish(whole.context);
    expect(ended).toMatchObject({ problems: [], rows: 10 });
    expect(ended.compared).not.toContain('forger');
    expect(await stands(whole)).toEqual(EXCHANGED);
    // And what stays in the repository is what this restore found.
    const { context } = whole;
    const stored = await findRestoreRecord(repository.store, { ...context.ref, ...context.request });
    expect(stored?.compared).toBe(ended.compared);
  });

  test('is refused before a session is ended while the database has a prepared transaction', async () => {
    const run = await almostDone();
    const client = new pg.Client(server.url(run.live));
    await client.connect();
    await query(server.url(run.live), 'BEGIN', 'CREATE TABLE held (id int)', "PREPARE TRANSACTION 'case_x'");
    try {
      const refused = { code: 'RESTORE_PREPARED_TRANSACTIONS', message: expect.stringContaining('"case_x"') };
      await expect(
        restore.plan({ ...run.context, request: { ...run.context.request, restore: 'other' } }),
      ).rejects.toMatchObject(refused);
      await expect(restore.finish(run.context)).rejects.toMatchObject({ ...refused, transient: false });
      expect((await client.query('SELECT 1 AS alive')).rows).toEqual([{ alive: 1 }]);
      await query(server.url(run.live), "ROLLBACK PREPARED 'case_x'");
      expect(await restore.discard(run.context)).toEqual([expect.stringContaining('stands beside it')]);
      expect(await stands(run)).toEqual(BESIDE);
    } finally {
      client.on('error', () => undefined);
      await client.end();
    }
  });

  test('ends every session once, also of a crowd that connects again and again', async () => {
    const run = await almostDone();
    let goesOn = true;
    let connected = 0;
    const crowd = Array.from({ length: 8 }, async () => {
      while (goesOn) {
        const client = new pg.Client(server.url(run.live));
        client.on('error', () => undefined);
        try {
          await client.connect();
          connected += 1;
          await client.query('SELECT pg_sleep(3)');
          await client.end();
        } catch (error) {
          // What ends its sessions is what the crowd is here for.
          expect(error).toBeInstanceOf(Error);
        }
      }
    });
    while (connected < 8) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await restore.finish(run.context)).toMatchObject({ problems: [] });
    goesOn = false;
    await Promise.all(crowd);
    expect(await stands(run)).toEqual(EXCHANGED);
  });

  test('tells which logical slots stay with the database that is kept', async () => {
    const run = await almostDone();
    await query(server.url(run.live), "SELECT pg_create_logical_replication_slot('their_slot', 'pgoutput')");
    const outcome = await restore.finish(run.context);
    expect(outcome.notes).toEqual([expect.stringMatching(/slot their_slot stays with "live_\d+_before_/)]);
    await query(server.url(), "SELECT pg_drop_replication_slot('their_slot')");
  });

  test('leaves out and tells settings of a role that the server lacks, where one owner is asked for', async () => {
    await query(
      server.url(),
      'CREATE ROLE gone',
      "ALTER ROLE gone IN DATABASE shop SET search_path = 'public'",
    );
    const theirs = await takeBackup(repository, server.url('shop'), ysqlSource());
    await query(server.url(), 'ALTER ROLE gone IN DATABASE shop RESET ALL', 'DROP ROLE gone');
    await query(server.url(), 'CREATE DATABASE live_gone');
    const { runRestore } = await import('./harness.ts');
    const plain = restoreContext(theirs, server.url(), { into: { shop: 'live_gone' }, replace: true });
    await expect(restore.plan(plain)).rejects.toMatchObject({
      code: 'RESTORE_ROLES_MISSING',
      message: expect.stringContaining('gone'),
    });
    const outcome = await runRestore(
      restoreContext(theirs, server.url(), {
        into: { shop: 'live_gone' },
        replace: true,
        owner: 'shop_owner',
      }),
    );
    expect(outcome).toMatchObject({
      problems: [],
      notes: [expect.stringContaining('Settings of role gone')],
    });
  });
});
