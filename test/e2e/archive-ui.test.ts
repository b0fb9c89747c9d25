import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startChromium } from '../support/browser.ts';
import { holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { PlanPage } from './plan-page.ts';

/** An accident, and the second before it brought back from the archive of changes: by signals that are typed into the Temporal UI, and nothing else. */
let postgres: PostgresServer;
let folder: string;
let file: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;
let browser: Browser;
let page: Page;
let planPage: PlanPage;

beforeAll(async () => {
  [postgres, browser] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical' } }),
    startChromium(),
  ]);
  page = await browser.newPage({ viewport: { width: 1_300, height: 1_500 } });
  // A page of the UI takes its time on a machine that is busy.
  page.setDefaultTimeout(180_000);
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-archive-ui-'));
  await mkdir(path.join(folder, 'repository'));
  file = path.join(folder, 'plans.yaml');
  await writeFile(
    file,
    repositoryDocument(folder) + planDocument('orders', '  pointTime: { archive: { lag: 1s } }\n'),
  );
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await query(postgres.url(), 'CREATE DATABASE orders');
  await sql(
    'CREATE TABLE orders (id int PRIMARY KEY, note text)',
    "INSERT INTO orders SELECT n, 'as it was' FROM generate_series(1, 500) n",
  );
  server = startHoldfast(['dev', '--json'], environment);
  await eventually('the embedded server answers', async () => server.output() !== '');
  const { uiUrl } = JSON.parse(server.output()) as { uiUrl: string };
  planPage = new PlanPage(page, uiUrl, 'orders');
  await holdfastJson(['apply', file], environment);
  await eventually('there is a base backup', async () => (await backups()) === 1);
});
afterAll(async () => {
  await browser?.close();
  server.child.kill('SIGTERM');
  await server.end;
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

const sql = (...statements: readonly string[]) => query(postgres.url('orders'), ...statements);

async function backups(): Promise<number> {
  const list = await holdfastJson<{ backups: readonly object[] }>(['list', file], environment);
  return list.backups.length;
}

/** Kept for the documentation where `HOLDFAST_SCREENSHOTS` names a folder. */
async function keepScreenshot(name: string): Promise<void> {
  const target = process.env.HOLDFAST_SCREENSHOTS;
  if (target !== undefined) await page.screenshot({ path: path.join(target, name) });
}

interface WindowJson {
  readonly databases: readonly {
    readonly intervals: readonly { readonly to: string }[];
    readonly holes: readonly { readonly code: string }[];
  }[];
}

test('a signal with an instant to the second is approved and restored; the page shows window, lag and holes', async () => {
  await sql('ALTER TABLE orders ADD COLUMN paid boolean DEFAULT false');
  await eventually(
    'the hole that the new column makes has a base behind it',
    async () => (await backups()) === 2,
  );
  await sql("UPDATE orders SET note = 'good', paid = true WHERE id <= 100");
  const second = Math.ceil((Date.now() + 1) / 1_000) * 1_000;
  await sleep(second + 20 - Date.now());
  await sql("UPDATE orders SET note = 'the accident'", 'DELETE FROM orders WHERE id > 250');
  const instant = new Date(second).toISOString().replace('.000Z', 'Z');
  await eventually('the accident is archived', async () => {
    const { databases } = await holdfastJson<WindowJson>(['window', file], environment);
    const [orders] = databases;
    return (orders?.intervals.at(-1)?.to ?? '') > instant && orders?.holes[0]?.code === 'schema-changed';
  });

  await planPage.shows(
    'window, lag and hole are on the page',
    /archive of orders: \S+ to \S+, .+ behind at \S+, not proved[\s\S]*hole in the archive of orders, .*columns/,
  );
  await planPage.signal('beside the original', JSON.stringify({ to: instant, replace: true }), () =>
    keepScreenshot('temporal-ui-archive-signal.png'),
  );
  await planPage.shows('the page asks for approval', /waits for the signal approve/);
  expect(await planPage.details()).toContain('with the changes archived since');
  await keepScreenshot('temporal-ui-archive.png');
  await planPage.signal('Let an overwriting', '{}');
  await planPage.shows(
    'the page tells that it is done',
    /restore done: .*counts of 1 table after \d+ transactions? w/,
  );

  const rows = await sql('SELECT note, paid, count(*)::int AS rows FROM orders GROUP BY 1, 2 ORDER BY 1');
  expect(rows).toEqual([
    { note: 'as it was', paid: false, rows: 400 },
    { note: 'good', paid: true, rows: 100 },
  ]);
});
