import type { RestoreContext, RestoreOutcome } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
} from './harness.ts';

let server: TestServer;
let proxy: YsqlProxy;
let repository: TestRepository;
let backup: TestBackup;

beforeAll(async () => {
  server = await startServer();
  proxy = await startYsqlProxy({ upstreamUrl: server.url() });
  repository = await createRepository();
  await query(server.url(), 'CREATE DATABASE shop', "CREATE ROLE plain LOGIN CREATEDB PASSWORD 'p'");
  await query(
    server.url('shop'),
    `CREATE FUNCTION public.folded(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT lower($1) $$;
     CREATE TABLE public.goods (id int PRIMARY KEY, name text NOT NULL, tags int[]);
     CREATE INDEX goods_folded ON public.goods (public.folded(name));
     CREATE INDEX goods_tags ON public.goods USING gin (tags);
     CREATE TABLE public.part (id int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
     CREATE TABLE public.part_1 PARTITION OF public.part FOR VALUES FROM (0) TO (100);
     INSERT INTO public.goods SELECT i, 'Name ' || i, ARRAY[i] FROM generate_series(1, 50) i;
     INSERT INTO public.part SELECT generate_series(1, 9)`,
  );
  backup = await takeBackup(repository, server.url('shop'));
});

afterEach(() => proxy.faults.clear());

afterAll(async () => {
  await proxy?.stop();
  await server?.stop();
  await repository?.remove();
});

/** A restore up to its last stage; then `meanwhile`, then the last stage. */
async function finishAfter(
  context: RestoreContext,
  meanwhile: () => Promise<unknown>,
): Promise<RestoreOutcome> {
  const { restore } = ysqlEngine;
  const plan = await restore.plan(context);
  await restore.prepare(context);
  for (let task = 0; task < plan.tasks; task += 1) await restore.load(context, task);
  for (const [wave, units] of plan.postDataWaves.entries()) {
    for (let unit = 0; unit < units; unit += 1) await restore.postData(context, { wave, unit, units });
  }
  await meanwhile();
  return await restore.finish(context);
}

function throughProxy(database: string): string {
  const url = new URL(server.url(database));
  url.port = String(proxy.port);
  return url.href;
}

const LIE =
  'CREATE OR REPLACE FUNCTION public.folded(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT upper($1) $$';

describe('after a restore on PostgreSQL', () => {
  test('every btree index is compared with its table, and the verdict says what was compared', async () => {
    const outcome = await runRestore(restoreContext(backup, server.url('shop'), { restore: 'good' }));
    expect(outcome.problems).toEqual([]);
    expect(outcome.compared).toBe('content of 2 tables, 3 indexes');
    expect(outcome.notes).toEqual([
      'index public.goods_tags was not compared: amcheck takes btree indexes alone.',
    ]);
    const left = await query(server.url('shop_restored_good'), 'SELECT extname FROM pg_extension');
    expect(left.map(({ extname }) => extname)).toEqual(['plpgsql']);
  });

  test('an index that is not as its table is named with its REINDEX, and nothing takes the final name', async () => {
    const context = restoreContext(backup, server.url('shop'), { restore: 'bad' });
    const outcome = await finishAfter(context, () =>
      query(server.url('shop_restored_bad_restoring_bad'), LIE),
    );
    expect(outcome.problems).toEqual([
      expect.stringMatching(
        /index public\.goods_folded is not as its table.*XX001.*REINDEX INDEX public\.goods_folded/,
      ),
    ]);
    expect(outcome.problems.join()).not.toMatch(/name \d/i);
    expect(outcome.databases[0]?.to).toBe('shop_restored_bad_restoring_bad');
  });

  test('with counts alone no index is read, and the verdict claims none', async () => {
    const context = restoreContext(backup, server.url('shop'), { restore: 'rows', check: 'rows' });
    const outcome = await finishAfter(context, () =>
      query(server.url('shop_restored_rows_restoring_rows'), LIE),
    );
    expect(outcome).toMatchObject({ problems: [], compared: 'counts of 2 tables' });
  });

  test('a role that can’t have amcheck is told that indexes were not compared', async () => {
    const url = new URL(server.url('postgres'));
    [url.username, url.password] = ['plain', 'p'];
    const outcome = await runRestore(restoreContext(backup, url.href, { restore: 'plain', owner: 'plain' }));
    expect(outcome).toMatchObject({ problems: [], compared: 'content of 2 tables' });
    expect(outcome.notes).toEqual([expect.stringMatching(/^4 indexes were not compared: .*amcheck/)]);
  });

  test('indexes that are not reached in time are named', async () => {
    const context = restoreContext(backup, server.url('shop'), { restore: 'late', indexCheckMs: 1 });
    const outcome = await finishAfter(context, () =>
      query(
        server.url('shop_restored_late_restoring_late'),
        'CREATE OR REPLACE FUNCTION public.folded(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN lower($1); END $$',
      ),
    );
    expect(outcome.problems).toEqual([]);
    expect(outcome.notes?.join()).toMatch(/index(es)? .*goods_folded.* not compared: the 1 seconds? for it/);
  });
});

describe('after a restore on YugabyteDB', () => {
  test('yb_index_check is asked of every index but primary keys; what it can’t do is named', async () => {
    const outcome = await runRestore(restoreContext(backup, throughProxy('shop'), { restore: 'ybgood' }));
    expect(outcome).toMatchObject({ problems: [], compared: 'content of 2 tables, 1 index' });
    expect(outcome.notes).toEqual([
      'index public.goods_tags was not compared: yb_index_check takes no ybgin and vector indexes.',
    ]);
  });

  test('a broken index is named without the key of its row', async () => {
    proxy.faults.inject({
      statement: /SELECT pg_catalog\.yb_index_check/,
      code: 'XX002',
      message: 'index contains spurious row',
    });
    const outcome = await runRestore(restoreContext(backup, throughProxy('shop'), { restore: 'ybbad' }));
    expect(outcome.problems.join()).toMatch(
      /public\.goods_folded .*spurious row.*REINDEX INDEX public\.goods_folded/,
    );
  });

  test('errors that pass are tried again, and in the end leave the index unknown', async () => {
    const message = 'Timed out: Read RPC';
    proxy.faults.inject({ statement: /SELECT pg_catalog\.yb_index_check/, code: 'XX000', message, times: 1 });
    const passed = await runRestore(restoreContext(backup, throughProxy('shop'), { restore: 'ybpass' }));
    expect(passed.compared).toBe('content of 2 tables, 1 index');
    proxy.faults.inject({ statement: /SELECT pg_catalog\.yb_index_check/, code: 'XX000', message });
    const open = await runRestore(restoreContext(backup, throughProxy('shop'), { restore: 'ybopen' }));
    expect(open).toMatchObject({ problems: [], compared: 'content of 2 tables' });
    expect(open.notes?.join()).toMatch(/goods_folded was not compared: .*Timed out/);
  });

  test('a server without the function leaves all indexes unknown, said', async () => {
    const context = restoreContext(backup, throughProxy('shop'), { restore: 'ybold' });
    const outcome = await finishAfter(context, () =>
      query(
        server.url('shop_restored_ybold_restoring_ybold'),
        'DROP FUNCTION pg_catalog.yb_index_check(oid)',
      ),
    );
    expect(outcome.notes).toEqual([
      expect.stringMatching(/^2 indexes were not compared: .*no yb_index_check/),
    ]);
  });
});
