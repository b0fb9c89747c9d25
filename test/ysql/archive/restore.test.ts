import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreSummary } from '../../../model/backup.ts';
import type { RecoveryDecision } from '../../../model/recovery.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { startTemporal, type TemporalServer } from '../../../parts/temporal.ts';
import { Workers } from '../../crash/workers.ts';
import { holdfast, holdfastJson } from '../../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../../support/plan-files.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';

/* The command line, as an operator uses it: an applied plan with an archive, and an instant between two changes. */

let folder: string;
let file: string;
let postgres: PostgresServer;
let temporal: TemporalServer;
let workers: Workers;
let environment: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-archive-restore-'));
  [postgres, temporal] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical' } }),
    startTemporal({ dbFile: path.join(folder, 'temporal.db'), headless: true }),
  ]);
  await mkdir(path.join(folder, 'repository'));
  file = path.join(folder, 'plans.yaml');
  await query(postgres.url(), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    'CREATE TABLE orders (id serial PRIMARY KEY, note text)',
    "INSERT INTO orders (note) SELECT 'base' FROM generate_series(1, 100)",
  );
  environment = { TEMPORAL_ADDRESS: temporal.address, ORDERS_DATABASE_URL: postgres.url('orders') };
  workers = await Workers.start(1, environment, folder);
  await writeFile(
    file,
    repositoryDocument(folder) + planDocument('orders', '  pointTime: { archive: { lag: 1s } }\n'),
  );
});

afterAll(async () => {
  await workers?.stop();
  await temporal?.stop();
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

interface WindowJson {
  readonly databases: readonly { readonly intervals: readonly { readonly to: string }[] }[];
}

const serverTime = async () =>
  String(
    (
      await query(
        postgres.url(),
        `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS now`,
      )
    )[0]?.now,
  );

test('an instant between two changes is explained, restored exactly, and refused where the archive does not reach', async () => {
  const applied = await holdfast(['apply', file, '--yes'], environment);
  expect(applied.code).toBe(0);
  await eventually('there is a base backup', async () => {
    const { backups } = await holdfastJson<{ backups: readonly object[] }>(['list', file], environment);
    return backups.length === 1;
  });
  const url = postgres.url('orders');
  await query(url, 'DELETE FROM orders WHERE id <= 10', "UPDATE orders SET note = 'good' WHERE id = 50");
  // Instants are kept to the millisecond: both changes are in others.
  await sleep(20);
  const instant = await serverTime();
  await sleep(20);
  await query(url, "UPDATE orders SET note = 'the accident'");
  await eventually('the accident is archived', async () => {
    const { databases } = await holdfastJson<WindowJson>(['window', file], environment);
    return databases.some(({ intervals }) => intervals.some(({ to }) => to > instant));
  });

  const explain = ['restore', file, '--to', instant, '--explain'];
  const { decision } = await holdfastJson<{ decision: RecoveryDecision }>(explain, environment);
  expect(decision).toMatchObject({
    way: 'archive',
    replay: { to: instant.replace('Z', '000Z') },
    archive: { segments: expect.any(Number) },
  });
  const { stdout } = await holdfast(explain, environment);
  expect(stdout).toMatch(/with the changes archived since gives the data of/);
  expect(stdout).toMatch(/archive: \d+ segments?, .* to fetch and replay/);

  const restore = ['restore', file, '--to', instant, '--into', 'orders_then'];
  const summary = await holdfastJson<RestoreSummary>(restore, environment);
  expect(summary).toMatchObject({
    verdict: 'OK',
    compared: expect.stringMatching(
      /^counts of 1 table after \d+ transactions were replayed; counts of the base only$/,
    ),
    notes: expect.arrayContaining([expect.stringMatching(/the first left out is transaction \d+ at /)]),
  });
  const notes = `SELECT note, count(*)::int AS rows FROM orders GROUP BY note ORDER BY note`;
  expect(await query(postgres.url('orders_then'), notes)).toEqual([
    { note: 'base', rows: 89 },
    { note: 'good', rows: 1 },
  ]);

  const tooEarly = await holdfast(['restore', file, '--to', '-30d', '--into', 'never'], environment);
  expect(tooEarly.code).toBe(1);
  expect(tooEarly.stderr).toMatch(/lies before the first instant that can be reached/);
});
