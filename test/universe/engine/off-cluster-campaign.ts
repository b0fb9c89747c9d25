import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { startUniverse } from '../launcher.ts';
import { DATABASE, Ledger, randomFrom } from './off-cluster.ts';
import { rightAgents, sourceOf } from './rig.ts';

/**
 * Random instants over a chain of exported snapshots, while rows change and tables are altered. Each is restored and equals the model, or is refused for a
 * change of the schema, with the instants before and after it. Ends with 1 where one does not.
 *
 * Usage: node test/universe/engine/off-cluster-campaign.ts [--instants 50] [--seed 1] [--snapshots 8]
 */
const { values } = parseArgs({
  options: {
    instants: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    snapshots: { type: 'string', default: '8' },
  },
});
const random = randomFrom(Number(values.seed));
const scratch = await createScratchFolder('off-cluster-campaign');
const universe = await startUniverse({ tservers: 1, replicationFactor: 1, tabletsPerTable: 2 });
const say = (text: string) => process.stdout.write(`${new Date().toISOString()} ${text}\n`);
try {
  await mkdir(path.join(scratch.path, 'repository'));
  const rig = {
    universe,
    store: new DirectoryStore(path.join(scratch.path, 'repository')),
    source: sourceOf(universe, {
      databases: [DATABASE],
      patience: { agentMs: 10_000, snapshotMs: 60_000, restorationMs: 120_000 },
    }),
    agents: rightAgents(universe, path.join(scratch.path, 'state')),
  };
  const ledger = new Ledger(rig, random);
  await ledger.begin();
  await ledger.look();
  // Nobody knows the schema before the first look.
  const firstMs = Date.now() + 1_100;
  for (let snapshot = 1; snapshot <= Number(values.snapshots); snapshot += 1) {
    const altersAt = random() < 0.3 ? Math.floor(random() * 6) : undefined;
    for (let write = 0; write < 6; write += 1) {
      await ledger.write();
      if (write !== altersAt) continue;
      await ledger.alter();
      if (random() < 0.8) await ledger.look();
    }
    await ledger.snapshot();
    const exported = await ledger.export();
    say(
      `snapshot ${snapshot}: ${exported.length} exported${altersAt === undefined ? '' : ', a table was altered before it'}`,
    );
  }
  const { history } = (await ledger.entries())[0] ?? {};
  const lastMs = Date.parse(history?.to ?? '');
  const counts = { restored: 0, refused: 0, wrong: 0 };
  for (let index = 1; index <= Number(values.instants); index += 1) {
    const ms = Math.floor(firstMs + random() * (lastMs - firstMs));
    const { kind, problem } = await ledger.ask(ms, `instant_${index}`);
    counts[problem === undefined ? kind : 'wrong'] += 1;
    say(
      `${index}: ${new Date(ms).toISOString()} ${kind}${problem === undefined ? '' : ` WRONG: ${problem}`}`,
    );
  }
  say(
    `${values.instants} instants (seed ${values.seed}): ${counts.restored} restored as the model has them, ${counts.refused} refused for DDL, ${counts.wrong} wrong`,
  );
  if (counts.wrong > 0 || counts.restored === 0) process.exitCode = 1;
} finally {
  await universe.stop();
  await scratch.remove();
}
