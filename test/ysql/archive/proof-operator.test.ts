import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { VerifyReport } from '../../../model/backup.ts';
import type { DrillOutcome } from '../../../model/drill.ts';
import { readTimelines } from '../../../repository/archive/archive.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { holdfast, holdfastJson } from '../../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../../support/plan-files.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { type OperatorStage, startOperatorStage } from './operator-stage.ts';
import { messagesOf, rewriteSegment } from './rewrite.ts';

/* The command line of an operator whose archive is proved by drills, and who has to know when it is wrong. */

const ID = { plan: 'orders', database: 'orders' };

let stage: OperatorStage;
let store: DirectoryStore;

beforeAll(async () => {
  stage = await startOperatorStage(
    'CREATE TABLE orders (id serial PRIMARY KEY, note text)',
    "INSERT INTO orders (note) SELECT 'base' FROM generate_series(1, 100)",
  );
  await writeFile(
    stage.file,
    repositoryDocument(stage.folder) + planDocument('orders', '  pointTime: { archive: { lag: 1s } }\n'),
  );
  store = new DirectoryStore(path.join(stage.folder, 'repository'));
});
afterAll(() => stage?.stop());

interface WindowJson {
  readonly databases: readonly {
    readonly intervals: readonly {
      readonly to: string;
      readonly stretches: readonly { readonly state: string; readonly from: string; readonly to: string }[];
    }[];
    readonly holes: readonly { readonly reason: string }[];
  }[];
}

const window = async () =>
  (await holdfastJson<WindowJson>(['window', stage.file], stage.environment)).databases[0];

/** A backup, and the archive beyond it: a change that comes after it is archived. */
async function backupWithinArchive(): Promise<void> {
  // `--new`: the base backup that began with the archive may still be verified, and would be followed instead.
  expect((await holdfast(['backup', stage.file, '--new'], stage.environment)).code).toBe(0);
  const url = stage.postgres.url('orders');
  await query(url, "INSERT INTO orders (note) VALUES ('after the backup')");
  const [row] = await query(
    url,
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now, pg_current_wal_lsn()::text AS lsn`,
  );
  await query(url, "INSERT INTO orders (note) VALUES ('later')");
  await eventually('the change after the backup is archived', async () => {
    const { intervals = [] } = (await window()) ?? {};
    return intervals.some(({ to }) => to > String(row?.now));
  });
}

test('a drill proves the archive from backup to backup; a lost row is refuted, shown, told by exit 1, and never offered again', async () => {
  const url = stage.postgres.url('orders');
  expect((await holdfast(['apply', stage.file, '--yes'], stage.environment)).code).toBe(0);
  await eventually('there is a base backup', async () => {
    const { backups } = await holdfastJson<{ backups: readonly object[] }>(
      ['list', stage.file],
      stage.environment,
    );
    return backups.length === 1;
  });
  await query(url, 'DELETE FROM orders WHERE id <= 10', "UPDATE orders SET note = 'good' WHERE id = 50");
  await backupWithinArchive();

  const drilled = await holdfastJson<DrillOutcome>(['drill', stage.file], stage.environment);
  expect(drilled).toMatchObject({
    verdict: 'OK',
    problems: [],
    proof: {
      verdict: 'OK',
      compared: expect.stringMatching(
        /^content of 1 table with backup \S+ after \d+ transactions were replayed$/,
      ),
    },
  });
  expect((await window())?.intervals[0]?.stretches.map(({ state }) => state)).toEqual([
    'archived',
    'proved',
    'archived',
  ]);
  // There is nothing new to prove.
  expect(await holdfastJson<DrillOutcome>(['drill', stage.file], stage.environment)).not.toHaveProperty(
    'proof',
  );
  const verified = await holdfastJson<VerifyReport>(['verify', stage.file], stage.environment);
  expect(verified).toMatchObject({
    verdict: 'OK',
    archive: { verdict: 'OK', level: 'content', problems: [] },
  });

  await query(url, "INSERT INTO orders (note) VALUES ('doomed')");
  await backupWithinArchive();
  const segments = (await readTimelines(store, ID))[0]?.segments ?? [];
  for (const segment of segments) {
    const messages = await messagesOf(store, segment);
    const kept = messages.filter((message) => !message.includes('doomed'));
    if (kept.length < messages.length) await rewriteSegment(store, ID, segment, kept);
  }
  const [row] = await query(
    url,
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS now`,
  );
  const refuted = await holdfast(['drill', stage.file, '--json'], stage.environment);
  expect(refuted.code).toBe(1);
  const outcome: DrillOutcome = JSON.parse(refuted.stdout);
  expect(outcome).toMatchObject({ verdict: 'FAILED', proof: { verdict: 'FAILED' } });
  expect(outcome.problems.join()).toMatch(/is refuted and is offered no more: .*orders/);
  const shown = await holdfast(['window', stage.file], stage.environment);
  expect(shown.stdout).toMatch(/refuted, never offered/);
  expect(shown.stdout).toMatch(
    /hole .*: Refuted by a proof of .*: the changes archived since \S+ do not give /,
  );
  const { proof } = outcome;
  const inside = new Date((Date.parse(proof?.from ?? '') + Date.parse(proof?.to ?? '')) / 2).toISOString();
  const restore = await holdfast(
    ['restore', stage.file, '--to', inside, '--into', 'never'],
    stage.environment,
  );
  expect(restore.code).toBe(1);
  expect(restore.stderr).toMatch(/nothing holds the data of/);
  expect(await query(stage.postgres.url(), "SELECT FROM pg_database WHERE datname = 'never'")).toEqual([]);
  expect(String(row?.now) > inside).toBe(true);

  const last = (await readTimelines(store, ID))[0]?.segments.at(-1);
  const file = path.join(stage.folder, 'repository', last?.key ?? '');
  const bytes = await readFile(file);
  await writeFile(file, bytes.subarray(0, bytes.length - 1));
  const damaged = await holdfast(['verify', stage.file], stage.environment);
  expect(damaged.code).toBe(1);
  expect(damaged.stdout).toMatch(/: OK \(content, /);
  expect(damaged.stdout).toMatch(/archive of changes: FAILED \(content, /);
  expect(damaged.stdout).toContain(last?.key);
});
