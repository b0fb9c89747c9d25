import { decodeMessage } from '../../../engines/ysql/archive/messages.ts';
import { isoOfMicros, lsnOf, type StoredSegment } from '../../../model/archive.ts';
import { HoldfastError } from '../../../model/errors.ts';
import { endOfInstant } from '../../../model/hybrid-time.ts';
import { refutes } from '../../../planning/archive/proofs.ts';
import { manifestKey } from '../../../repository/layout.ts';
import { putSealed } from '../../../repository/sealed-object.ts';
import { Dice } from '../../crash/dice.ts';
import { restoreContext, runRestore, type TestBackup } from '../harness.ts';
import { messagesOf, rewriteSegment } from './rewrite.ts';
import { anyInstant, makeWorld, restoreBase, seenByMicros, tryInstant, type World } from './trial.ts';

/* As instants.test.ts, on the stand-in for YugabyteDB: `npm run crash:archive -- --product yugabytedb` is the campaign. */

const SEED = Number(process.env.ARCHIVE_SEED ?? 18);
const INSTANTS = 10;

test('YugabyteDB: ten instants come back as the source was then, or are refused where a table was emptied or altered', async () => {
  const world = await makeWorld({
    ...{ seed: SEED, transactions: 90, bases: 2, product: 'yugabytedb', capture: 'product' },
    alterations: ['a table is emptied', 'a table is made anew'],
  });
  try {
    const dice = new Dice(SEED);
    let transactions = 0;
    for (const base of world.bases) {
      expect(base.readPoint.kind).toBe('yb-read-time');
      const restored = await restoreBase(world, base);
      for (let number = 0; number < INSTANTS / 2; number += 1) {
        const outcome = await tryInstant(world, base, restored, anyInstant(world, base, dice));
        expect(outcome).toMatchObject({ differences: [] });
        transactions += outcome.transactions;
      }
      // What was altered last can't be reached from this base.
      const last = world.commits.at(-1)?.micros ?? 0;
      expect(await tryInstant(world, base, restored, last)).toMatchObject({
        differences: [],
        refused: 'ARCHIVE_NO_CHAIN',
      });
    }
    expect(new Set(world.timelines.values()).size).toBe(2);
    expect(transactions).toBeGreaterThan(20);
  } finally {
    await world.stop();
  }
}, 900_000);

/** Replays what the later backup sees, and compares. */
async function problemsOfProof(
  world: World,
  base: TestBackup,
  later: TestBackup,
): Promise<readonly string[]> {
  const context = restoreContext(base, world.url(), {
    ...{ scratch: true, check: 'content' },
    replay: {
      to: isoOfMicros(seenByMicros(later)),
      timelines: { past: world.timelines.get(base) ?? '' },
      proves: later.context.ref.backup,
    },
  });
  try {
    return (await runRestore(context)).problems;
  } catch (error) {
    if (error instanceof HoldfastError && refutes(error)) return [error.code];
    throw error;
  }
}

/** A segment all of whose transactions the later backup sees and the earlier doesn't, and where in it a row comes that no later change touches. */
async function insertBetween(world: World, base: TestBackup, later: TestBackup) {
  const [from, to] = [base, later].map((backup) => lsnOf(endOfInstant(BigInt(seenByMicros(backup)))));
  const between = ({ startLsn, endLsn }: StoredSegment) => startLsn >= (from ?? '') && endLsn <= (to ?? '');
  for (const segment of world.segments.filter(between)) {
    const messages = await messagesOf(world.repository.store, segment);
    const decoded = messages.map((message) => decodeMessage(message));
    const audit = decoded.find((message) => message.kind === 'relation' && message.table === 'audit');
    const at = decoded.findIndex(
      (message) => message.kind === 'insert' && audit?.kind === 'relation' && message.oid === audit.oid,
    );
    if (at >= 0) return { segment, messages, at };
  }
  throw new Error('no segment between the backups has a row of "audit"');
}

test('YugabyteDB: the changes between two backups are proved, and a row that the capture left out refutes them', async () => {
  const world = await makeWorld({
    ...{ seed: SEED, transactions: 90, bases: 2, product: 'yugabytedb', capture: 'product' },
  });
  try {
    const [base, later] = world.bases;
    if (base === undefined || later === undefined) throw new Error('two bases are needed');
    const { store } = world.repository;
    for (const { manifest } of world.bases) await putSealed(store, manifestKey(manifest), manifest);
    expect(await problemsOfProof(world, base, later)).toEqual([]);
    const { segment, messages, at } = await insertBetween(world, base, later);
    const id = { plan: 'zoo', database: 'past' };
    const rewritten = await rewriteSegment(store, id, segment, messages.toSpliced(at, 1));
    expect(await problemsOfProof(world, base, later)).not.toEqual([]);
    await rewritten.undo();
  } finally {
    await world.stop();
  }
}, 900_000);
