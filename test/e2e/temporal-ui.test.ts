import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startChromium } from '../support/browser.ts';
import { holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { PlanPage } from './plan-page.ts';

/**
 * The worst hour as an operator has it: the plan's page in the Temporal UI, in a browser, and a restore by a signal that is
 * sent from there by clicks. What is clicked has the names that a person reads.
 */
let postgres: PostgresServer;
let folder: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;
let browser: Browser;
let page: Page;
let planPage: PlanPage;
let ui: string;
let backup: string;

beforeAll(async () => {
  [postgres, browser] = await Promise.all([startPostgres(), startChromium()]);
  page = await browser.newPage({ viewport: { width: 1_400, height: 960 } });
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-ui-'));
  await mkdir(path.join(folder, 'repository'));
  await mkdir(path.join(folder, 'plans'));
  await writeFile(path.join(folder, 'plans', 'plans.yaml'), plans());
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await sql('postgres', 'CREATE DATABASE orders');
  await sql(
    'orders',
    'CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, 5000) n',
  );
  server = startHoldfast(['dev', '--json'], environment);
  await eventually('the embedded server answers', async () => server.output() !== '');
  ui = (JSON.parse(server.output()) as { uiUrl: string }).uiUrl;
  planPage = new PlanPage(page, ui, 'orders');
  const file = path.join(folder, 'plans', 'plans.yaml');
  await holdfastJson(['apply', file], environment);
  backup = (await holdfastJson<{ backup: string }>(['backup', `${file}#orders`], environment)).backup;
});
afterAll(async () => {
  await browser?.close();
  server.child.kill('SIGTERM');
  await server.end;
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

function plans(): string {
  const schedule = '  schedule: { cron: "0 2 * * *" }\n';
  return repositoryDocument(folder) + planDocument('orders', schedule) + planDocument('billing', schedule);
}

const sql = (database: string, statements: string) => query(postgres.url(database), statements);

/** Kept for the documentation where `HOLDFAST_SCREENSHOTS` names a folder. */
async function keepScreenshot(name: string): Promise<void> {
  const target = process.env.HOLDFAST_SCREENSHOTS;
  if (target !== undefined) await page.screenshot({ path: path.join(target, name) });
}

test('the list is filtered by Holdfast’s search attributes', async () => {
  const query = encodeURIComponent('BackupPlan="orders" AND BackupEngine="ysql"');
  await page.goto(`${ui}/namespaces/default/workflows?query=${query}`);
  await page.getByText(`backup:orders:${backup}`).first().waitFor();
  expect(await page.getByText('plan:orders', { exact: true }).count()).toBeGreaterThan(0);
  expect(await page.getByText('plan:billing', { exact: true }).count()).toBe(0);

  await page.goto(`${ui}/namespaces/default/workflows?query=${encodeURIComponent('BackupPlan="billing"')}`);
  await page.getByText('plan:billing', { exact: true }).first().waitFor();
  expect(await page.getByText(`backup:orders:${backup}`).count()).toBe(0);
});

test('the plan’s page says what can be restored, and the JSON to paste for it', async () => {
  await planPage.open();
  const details = await planPage.details();
  expect(details).toContain(backup);
  expect(details).toMatch(/To restore, send the signal restore with/);
  // As the browser shows it, which is what is copied: the UI curls quotes outside code.
  const told = details.match(/\{["“”].*?\}/g) ?? [];
  expect(told.length).toBeGreaterThan(2);
  expect(told.map((json) => Object.keys(JSON.parse(json) as object)[0])).toEqual(told.map(() => 'to'));
  await keepScreenshot('temporal-ui-plan.png');
});

test('a signal sent from the page restores the database to the instant that the page names', async () => {
  await sql('orders', "UPDATE orders SET note = 'gone'");
  await planPage.open();
  // The one beside it names the copy: what is pasted is what the page shows, with that name.
  const [wish = ''] = /\{"to":"[^"]+","into":"NAME"\}/.exec(await planPage.details()) ?? [];
  expect(wish).not.toBe('');

  await planPage.signal('beside the original', wish.replace('NAME', 'orders_before_the_accident'), () =>
    keepScreenshot('temporal-ui-signal.png'),
  );

  await planPage.shows('the page tells that it is done', /restore done: .*orders_before_the_accident/);
  const rows = await sql(
    'orders_before_the_accident',
    'SELECT count(*)::int AS all, count(*) FILTER (WHERE note = md5(id::text))::int AS right FROM orders',
  );
  expect(rows).toEqual([{ all: 5000, right: 5000 }]);
});

test('a signal with nonsense is refused on the page, with what to send instead', async () => {
  await planPage.signal('beside the original', '{"to": "ten past four"}');
  await planPage.shows('the refusal is shown', /ten past four/);
  await page.getByText('Running', { exact: true }).first().waitFor();
});
