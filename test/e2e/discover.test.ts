import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { Notification } from '../../model/notification.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { forgetDatabase, type PlanStatus, planWorkflowId } from '../../workflows/plan-messages.ts';
import { type CommandEnd, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** Databases that come and go while a plan with `discover` is applied, on a real server and a real Temporal. */
let postgres: PostgresServer;
let folder: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;
let receiver: Server;
const told: Notification[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-discover-'));
  for (const name of ['repository', 'plans']) await mkdir(path.join(folder, name));
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => {
      body += part.toString();
    });
    request.on('end', () => {
      told.push(JSON.parse(body) as Notification);
      response.end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    FLEET_URL: postgres.url('postgres'),
    EVENTS_URL: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`,
  };
  await create('orders');
  server = startHoldfast(['dev', '--json'], environment, folder);
  await eventually('the embedded server answers', async () => server.output() !== '');
});
afterAll(async () => {
  server?.child.kill('SIGTERM');
  await server?.end;
  receiver?.close();
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function create(database: string): Promise<void> {
  await query(postgres.url('postgres'), `CREATE DATABASE "${database}"`);
  await query(postgres.url(database), 'CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)');
}

const writeFleet = (keepDaily: number) =>
  writeFile(
    path.join(folder, 'plans', 'fleet.yaml'),
    `${repositoryDocument(folder)}---
apiVersion: holdfast/v1
kind: PlanTemplate
metadata: { name: nightly }
spec:
  plan:
    repository: main
    schedule: { cron: "0 2 * * *" }
    retention: { keepDaily: ${keepDaily} }
    notify: [{ webhook: { env: EVENTS_URL }, on: [all], reach: loopback }]
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: fleet }
spec:
  template: { name: nightly }
  source: { ysql: { connection: { env: FLEET_URL }, databases: { exclude: [postgres, "tmp_*"] } } }
  discover: { every: 10s }
`,
  );

const run = (...args: readonly string[]): Promise<CommandEnd> => startHoldfast(args, environment, folder).end;

async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run(...args, '--json');
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout) as T;
}

const status = (plan: string) => json<PlanStatus>('status', plan);
/** A plan that isn't there yet has no `lastBackup` at all. */
const hasABackup = (plan: string) => async () => ((await status(plan)).lastBackup ?? null) !== null;
const headlines = (type: string) => told.filter((each) => each.type === type).map(({ headline }) => headline);

interface Changes {
  readonly changes: number;
  readonly plans: readonly { readonly plan: string; readonly action: string; readonly note?: string }[];
}

test('a database becomes a plan and is backed up; so does one that comes later; what can’t be a plan is told', async () => {
  await writeFleet(7);
  await json('apply');
  await eventually('orders is found', async () => headlines('discover.found').length === 1);
  await eventually('orders is backed up', hasABackup('fleet-orders'));

  await create('order_items');
  await create('Shouted');
  await create('tmp_import');
  // No backup can carry it, which must stop no other.
  await query(
    postgres.url('postgres'),
    "CREATE DATABASE mule TEMPLATE template0 ENCODING 'MULE_INTERNAL' LOCALE 'C'",
  );
  await eventually('order_items is found', async () => headlines('discover.found').length === 2);
  await eventually('order_items is backed up', hasABackup('fleet-order--items'));
  expect(headlines('discover.found')[1]).toContain('order_items is a plan now');
  // A look may come between the two.
  const refused = () => headlines('discover.refused').join('\n');
  await eventually('both are refused', async () => /mule/.test(refused()) && /Shouted/.test(refused()));
  expect(refused()).toMatch(/Shouted \(its name has other characters/);
  expect(refused()).toMatch(/mule \(it is in MULE_INTERNAL/);
  expect(refused().match(/mule \(|Shouted \(/g)).toHaveLength(2);
  const { discovery } = await status('fleet');
  expect(discovery?.members.map(({ database }) => database).sort()).toEqual(['order_items', 'orders']);
  expect(discovery?.refused.map(({ database }) => database).sort()).toEqual(['Shouted', 'mule']);
});

test('it forgets no database because of a signal that nothing of this installation signed', async () => {
  const { address } = JSON.parse(server.output()) as { address: string };
  const connection = await Connection.connect({ address });
  await new Client({ connection }).workflow
    .getHandle(planWorkflowId('fleet'))
    .signal(forgetDatabase, 'orders');
  const { discovery } = await status('fleet');
  expect(discovery?.members.map(({ database }) => database)).toContain('orders');
  await connection.close();
});

test('apply, explain, list and status show what was discovered, and by what', async () => {
  const { changes, plans } = await json<Changes>('apply', '--dry-run', '--prune');
  expect(changes).toBe(0);
  expect(plans).toContainEqual(
    expect.objectContaining({
      plan: 'fleet-orders',
      action: 'none',
      note: 'discovered by fleet for the database orders',
    }),
  );
  expect((await run('explain', 'fleet-order--items')).stdout).toContain(
    'by fleet, where the database order_items exists',
  );
  // Not all in the same minute: `explain` says when, and so does the schedule.
  const minutes = await Promise.all(
    ['fleet-orders', 'fleet-order--items'].map(async (plan) => {
      const { schedule } = await json<{ schedule: { cron: readonly string[] } }>('explain', plan);
      const [next = ''] =
        (await status(plan)).survey?.schedules.find(({ id }) => id === `backup:${plan}`)?.next ?? [];
      expect(schedule.cron).toEqual([`${new Date(next).getUTCMinutes()} 2 * * *`]);
      return schedule.cron[0];
    }),
  );
  expect(minutes[0]).not.toBe(minutes[1]);
  expect((await run('explain', 'fleet')).stdout).toMatch(
    /each database becomes a plan fleet-<database>.*every 10s/,
  );
  expect((await run('list')).stdout).toMatch(
    /fleet-order--items \(discovered by fleet\):\n(.|\n)*fleet-orders \(discovered/,
  );
  expect((await run('status')).stdout).toMatch(/fleet-orders {2}discovered by fleet \(database orders\)/);
  expect((await run('explain', 'fleet-Shouted')).stderr).toContain('There is no plan fleet-Shouted');
});

test('a change of the plan reaches those that it found', async () => {
  await writeFleet(14);
  await json('apply');
  await eventually('the change is there', async () => (await status('fleet-orders')).generation > 1);
  await eventually('and of the other', async () => (await status('fleet-order--items')).generation > 1);
});

test('a database that is dropped is told; its plan and its backups stay, and can be restored', async () => {
  await query(postgres.url('postgres'), 'DROP DATABASE orders');
  await eventually('it is told', async () => headlines('discover.vanished').length > 0);
  expect(headlines('discover.vanished')).toEqual([expect.stringContaining('orders is not there any more')]);
  const { discovered, survey } = await status('fleet-orders');
  expect(discovered).toMatchObject({ by: 'fleet', database: 'orders', goneSince: expect.any(String) });
  await eventually(
    'nothing of it starts by itself',
    async () => (await status('fleet-orders')).survey?.schedules.length === 0,
  );
  expect(survey?.backups).toBeGreaterThan(0);
  expect((await json<Changes>('apply', '--prune')).changes).toBe(0);
  expect(await json('restore', 'fleet-orders', '--into', 'orders_again')).toMatchObject({ verdict: 'OK' });
  expect(await query(postgres.url('orders_again'), 'SELECT id FROM t')).toEqual([{ id: 1 }]);
});

test('what a restore makes beside the original is no plan of its own; retention by hand works for a plan that was found', async () => {
  const { databases } = await json<{ databases: readonly { to: string }[] }>('restore', 'fleet-order--items');
  expect(databases[0]?.to).toMatch(/^order_items_restored_/);
  expect(await json('prune', 'fleet-order--items')).toMatchObject({
    ...{ plan: 'fleet-order--items', marks: { marked: [] }, deletions: { deletedBackups: 0 } },
  });
  await create('later');
  await eventually('a later look has been', hasABackup('fleet-later'));
  const { discovery } = await status('fleet');
  const known = [...(discovery?.members ?? []), ...(discovery?.refused ?? [])];
  expect(known.map(({ database }) => database).filter((name) => name.includes('_restored_'))).toEqual([]);
});

test('the plan of a database that is gone for good is removed where that is asked for, comes not back, and its backups stay', async () => {
  const changes = await json<Changes>('apply', '--prune', '--gone', '--yes');
  expect(changes.plans.filter(({ action }) => action === 'remove')).toMatchObject([{ plan: 'fleet-orders' }]);
  await writeFleet(21);
  await json('apply');
  await eventually(
    'the change has reached the others',
    async () => (await status('fleet-later')).generation > 1,
  );
  expect((await status('fleet')).discovery?.members.map(({ database }) => database)).not.toContain('orders');
  expect((await run('status', 'fleet-orders', '--json')).stdout).toContain('"applied":false');
  const { backups } = await json<{ backups: readonly unknown[] }>('list', 'fleet-orders');
  expect(backups.length).toBeGreaterThan(0);
});

test('a plan of a file keeps its name: the database is refused, and the others go on', async () => {
  await writeFile(
    path.join(folder, 'plans', 'own.yaml'),
    `apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: fleet-crm }
spec: { source: { ysql: { connection: { env: FLEET_URL } } }, repository: main }
`,
  );
  await json('apply');
  await create('crm');
  await create('stock');
  await eventually('stock is backed up', hasABackup('fleet-stock'));
  await eventually('crm is refused', async () =>
    headlines('discover.refused').some((each) => each.includes('crm (')),
  );
  expect((await status('fleet')).discovery?.refused).toContainEqual({
    database: 'crm',
    reason: expect.stringContaining('there is a plan fleet-crm already, which has a file of its own'),
  });
});
