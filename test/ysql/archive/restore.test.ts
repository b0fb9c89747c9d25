import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreSummary } from '../../../model/backup.ts';
import type { RecoveryDecision } from '../../../model/recovery.ts';
import { holdfast, holdfastJson } from '../../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../../support/plan-files.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { type OperatorStage, startOperatorStage } from './operator-stage.ts';

/* The command line, as an operator uses it: an applied plan with an archive, and an instant between two changes. */

let stage: OperatorStage;

beforeAll(async () => {
  stage = await startOperatorStage(
    'CREATE TABLE orders (id serial PRIMARY KEY, note text)',
    "INSERT INTO orders (note) SELECT 'base' FROM generate_series(1, 100)",
  );
  await writeFile(
    stage.file,
    repositoryDocument(stage.folder) + planDocument('orders', '  pointTime: { archive: { lag: 1s } }\n'),
  );
});
afterAll(() => stage?.stop());

interface WindowJson {
  readonly databases: readonly { readonly intervals: readonly { readonly to: string }[] }[];
}

const serverTime = async () =>
  String(
    (
      await query(
        stage.postgres.url(),
        `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS now`,
      )
    )[0]?.now,
  );

test('an instant between two changes is explained, restored exactly, and refused where the archive does not reach', async () => {
  const applied = await holdfast(['apply', stage.file, '--yes'], stage.environment);
  expect(applied.code).toBe(0);
  await eventually('there is a base backup', async () => {
    const { backups } = await holdfastJson<{ backups: readonly object[] }>(
      ['list', stage.file],
      stage.environment,
    );
    return backups.length === 1;
  });
  const url = stage.postgres.url('orders');
  await query(url, 'DELETE FROM orders WHERE id <= 10', "UPDATE orders SET note = 'good' WHERE id = 50");
  // Instants are kept to the millisecond: both changes are in others.
  await sleep(20);
  const instant = await serverTime();
  await sleep(20);
  await query(url, "UPDATE orders SET note = 'the accident'");
  await eventually('the accident is archived', async () => {
    const { databases } = await holdfastJson<WindowJson>(['window', stage.file], stage.environment);
    return databases.some(({ intervals }) => intervals.some(({ to }) => to > instant));
  });

  const explain = ['restore', stage.file, '--to', instant, '--explain'];
  const { decision } = await holdfastJson<{ decision: RecoveryDecision }>(explain, stage.environment);
  expect(decision).toMatchObject({
    way: 'archive',
    replay: { to: instant.replace('Z', '000Z') },
    archive: { segments: expect.any(Number) },
  });
  const { stdout } = await holdfast(explain, stage.environment);
  expect(stdout).toMatch(/with the changes archived since gives the data of/);
  expect(stdout).toMatch(/archive: \d+ segments?, .* to fetch and replay/);

  const restore = ['restore', stage.file, '--to', instant, '--into', 'orders_then'];
  const summary = await holdfastJson<RestoreSummary>(restore, stage.environment);
  expect(summary).toMatchObject({
    verdict: 'OK',
    compared: expect.stringMatching(
      /^counts of 1 table after \d+ transactions were replayed; counts of the base only$/,
    ),
    notes: expect.arrayContaining([expect.stringMatching(/the first left out is transaction \d+ at /)]),
  });
  const notes = `SELECT note, count(*)::int AS rows FROM orders GROUP BY note ORDER BY note`;
  expect(await query(stage.postgres.url('orders_then'), notes)).toEqual([
    { note: 'base', rows: 89 },
    { note: 'good', rows: 1 },
  ]);

  // The publication is the archive's, not the application's.
  expect(await query(stage.postgres.url('orders_then'), 'SELECT pubname FROM pg_publication')).toEqual([]);

  const tooEarly = await holdfast(
    ['restore', stage.file, '--to', '-30d', '--into', 'never'],
    stage.environment,
  );
  expect(tooEarly.code).toBe(1);
  expect(tooEarly.stderr).toMatch(/lies before the first instant that can be reached/);
});
