import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RestoreContext } from '../../../engines/engine.ts';
import type { CrashPoint } from '../../../repository/crash-points.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { Dice } from '../../crash/dice.ts';
import { query } from '../../support/sql.ts';
import { runRestore } from '../harness.ts';
import type { KillableReplay } from './replay-process.ts';
import {
  anyInstant,
  compare,
  contextOf,
  lastCommitAt,
  makeWorld,
  restoreBase,
  seenByMicros,
  tryInstant,
  type World,
} from './trial.ts';

const SEED = Number(process.env.ARCHIVE_SEED ?? 20);

let world: World;

beforeAll(async () => {
  world = await makeWorld({ seed: SEED, transactions: 150, bases: 2 });
});

afterAll(async () => {
  await world?.stop();
});

test('ten instants come back as the source was: a beginning of the order of commits, and nothing else', async () => {
  const dice = new Dice(SEED);
  let transactions = 0;
  for (const base of world.bases) {
    const restored = await restoreBase(world, base);
    for (let number = 0; number < 5; number += 1) {
      const outcome = await tryInstant(world, base, restored, anyInstant(world, base, dice));
      expect({ ...outcome, differences: outcome.differences }).toMatchObject({ differences: [] });
      transactions += outcome.transactions;
    }
  }
  expect(transactions).toBeGreaterThan(50);
});

/** Runs the replay in processes that kill themselves at each of the points, until one comes to its end. Returns the number of kills. */
async function killedAt(
  points: readonly CrashPoint[],
  context: RestoreContext,
  database: string,
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-kill-'));
  try {
    const input: KillableReplay = {
      repository: world.repository.path,
      url: world.postgres.url(),
      ...{ folder: context.folder, request: context.request, manifest: context.manifest, database },
    };
    await writeFile(join(folder, 'input.json'), JSON.stringify(input));
    let kills = 0;
    for (const point of [...points, undefined]) {
      if (point !== undefined) await writeFile(join(folder, point), '');
      const child = spawn(
        process.execPath,
        [join(import.meta.dirname, 'replay-process.ts'), join(folder, 'input.json')],
        {
          env: { ...process.env, HOLDFAST_CRASH_POINTS: folder },
          stdio: ['ignore', 'ignore', 'inherit'],
        },
      );
      const [code, signal] = await once(child, 'exit');
      if (signal === 'SIGKILL') kills += 1;
      else expect(code).toBe(0);
    }
    return kills;
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a replay that is killed between changes and commit, and after the commit, comes to the same end', async () => {
  const [base] = world.bases;
  if (base === undefined) throw new Error('no base');
  const restored = await restoreBase(world, base);
  const last = world.commits.at(-1)?.micros ?? 0;
  let kills = 0;
  const outcome = await tryInstant(world, base, restored, last, async (context, database) => {
    kills = await killedAt(
      ['replay-before-commit', 'replay-committed', 'replay-before-commit'],
      context,
      database,
    );
    return undefined;
  });
  expect(kills).toBeGreaterThanOrEqual(2);
  expect(outcome).toMatchObject({ commit: world.commits.length - 1, differences: [] });
});

test('a whole restore says what was compared, and which transactions are the last in and the first out', async () => {
  const [base] = world.bases;
  if (base === undefined) throw new Error('no base');
  const after = world.commits.filter(({ micros }) => micros > seenByMicros(base));
  const instant = after[Math.floor(after.length / 2)]?.micros ?? 0;
  const outcome = await runRestore(contextOf(world, base, instant, 'whole'));
  expect(outcome).toMatchObject({
    problems: [],
    compared: expect.stringMatching(
      /^counts of \d+ tables after \d+ transactions were replayed; counts of the base only$/,
    ),
    notes: expect.arrayContaining([
      expect.stringMatching(
        /the last transaction in it is transaction \d+ at .*; the first left out is transaction \d+ at /,
      ),
    ]),
  });
  expect(outcome).not.toHaveProperty('unclear');
  const commit = world.commits[lastCommitAt(world.commits, instant)];
  expect(await compare(world.postgres.url('whole'), commit)).toEqual([]);
  // The archive's value, and what the columns of the others hold.
  const sequences = await query(
    world.postgres.url('whole'),
    `SELECT pg_sequence_last_value('indexed_id_seq')::int AS indexed,
       pg_sequence_last_value('audit_id_seq') >= (SELECT max(id) FROM audit) AS audit`,
  );
  expect(sequences).toEqual([{ indexed: expect.any(Number), audit: true }]);
  expect(Number(sequences[0]?.indexed)).toBeGreaterThanOrEqual(70_000);
  expect(
    await query(
      world.postgres.url('whole'),
      "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'holdfast%'",
    ),
  ).toEqual([]);
});

test('some tables are replayed alone', async () => {
  const base = world.bases.at(-1);
  if (base === undefined) throw new Error('no base');
  const last = world.commits.at(-1);
  const context = contextOf(world, base, last?.micros ?? 0, 'some');
  const tables = { include: ['public.slots', 'public.log'], exclude: [] };
  const outcome = await runRestore({ ...context, request: { ...context.request, tables } });
  expect(outcome).toMatchObject({ problems: [], tables: 2 });
  const hashes = await query(
    world.postgres.url('some'),
    `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\n' ORDER BY t::text COLLATE "C")), '') AS slots FROM slots t`,
  );
  expect(hashes).toEqual([{ slots: last?.hashes['public.slots'] }]);
});

test('an archive that lacks a segment leads no further than the hole', async () => {
  const [base] = world.bases;
  if (base === undefined) throw new Error('no base');
  const removed = world.segments.at(-2);
  if (removed === undefined) throw new Error('no segment');
  const body = await world.repository.store.get(removed.key);
  await world.repository.store.delete([removed.key]);
  try {
    const context = contextOf(world, base, world.commits.at(-1)?.micros ?? 0, 'beyond_the_gap');
    await expect(runRestore(context)).rejects.toMatchObject({ code: 'ARCHIVE_NO_CHAIN' });
    expect(await query(world.postgres.url(), "SELECT FROM pg_database WHERE datname ~ 'gap'")).toEqual([]);
  } finally {
    await world.repository.store.put(removed.key, body, { ifAbsent: true, sha256: sha256Hex(body) });
  }
});
