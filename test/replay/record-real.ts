import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient } from '../../worker/connection.ts';
import { holdfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { fill } from '../universe/engine/contents.ts';
import { drilledPlan, startStage } from '../universe/engine/stage.ts';
import { startOperatorStage } from '../ysql/archive/operator-stage.ts';
import { saveHistory } from './save-history.ts';

/**
 * `node test/replay/record-real.ts` records, as `record.ts` does, the histories of workflows that real parts drove: those of a universe and of an
 * archive of changes. Of each workflow of each stage, one history.
 */
await recordUniverse();
await recordArchive();

async function recordUniverse(): Promise<void> {
  const stage = await startStage();
  const run = (...args: readonly string[]) => told(args, stage.environment);
  try {
    const { universe, planFile } = stage;
    await fill(universe);
    await run('doctor', planFile);
    await run('backup', planFile);
    await run('restore', planFile, '--into', 'shop=shop_again', '--into', 'metrics=metrics_again');
    const drilled = await drilledPlan(stage);
    await run('backup', drilled);
    await run('drill', drilled);

    await query(universe.ysql('yugabyte'), 'CREATE DATABASE ledger');
    await query(universe.ysql('ledger'), 'CREATE TABLE t (id int PRIMARY KEY)', 'INSERT INTO t VALUES (1)');
    const ledger = await stage.planOf('ledger', ['ledger'], []);
    const pointTime =
      'pointTime: { inCluster: { interval: 1m, retention: 1h }, offCluster: { every: 1m, retention: 2h } }\n  restore: { approval: none }';
    await writeFile(ledger, (await readFile(ledger, 'utf8')).replace('  steps:', `  ${pointTime}\n  steps:`));
    await run('apply', ledger, '--yes');
    await eventually('two snapshots of schedules are there', async () => {
      const { snapshots } = await universe.view();
      return (
        snapshots.filter(({ state, schedule }) => state === 'COMPLETE' && schedule !== undefined).length > 1
      );
    });
    await sleep(100);
    const instant = new Date().toISOString();
    await sleep(100);
    await query(universe.ysql('ledger'), 'INSERT INTO t VALUES (2)');
    await run('restore', ledger, '--to', instant, '--into', 'ledger_then');
    await run('restore', ledger, '--to', instant, '--replace');
    await saveAll('universe', stage.temporal.address);
  } finally {
    await stage.stop();
  }
}

async function recordArchive(): Promise<void> {
  const stage = await startOperatorStage('CREATE TABLE orders (id serial PRIMARY KEY, note text)');
  const run = (...args: readonly string[]) => told(args, stage.environment);
  try {
    const url = stage.postgres.url('orders');
    await writeFile(
      stage.file,
      repositoryDocument(stage.folder) + planDocument('orders', '  pointTime: { archive: { lag: 1s } }\n'),
    );
    await run('apply', stage.file, '--yes');
    await eventually('there is a base backup', async () =>
      (await holdfast(['list', stage.file, '--json'], stage.environment)).stdout.includes('"backup"'),
    );
    await query(url, "INSERT INTO orders (note) VALUES ('wanted')");
    await sleep(100);
    const instant = new Date().toISOString();
    await sleep(100);
    await query(url, "INSERT INTO orders (note) VALUES ('unwanted')");
    await eventually(
      'the instant is archived',
      async () =>
        (
          await holdfast(
            ['restore', stage.file, '--to', instant, '--into', 'orders_then', '--explain'],
            stage.environment,
          )
        ).code === 0,
    );
    await run('restore', stage.file, '--to', instant, '--into', 'orders_then');
    await run('backup', stage.file);
    await run('drill', stage.file);
    await saveAll('archive', stage.environment.TEMPORAL_ADDRESS);
  } finally {
    await stage.stop();
  }
}

/** Runs a command that must succeed, or come to its end without a verdict (3), as a restore does whose rows nobody counted. */
async function told(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<void> {
  const { code, stdout, stderr } = await holdfast(args, environment);
  process.stdout.write(`${args.join(' ')}: ${code}\n`);
  if (code !== 0 && code !== 3) throw new Error(stdout + stderr);
}

/** One history of each type of workflow and end. */
async function saveAll(stage: string, address: string | undefined): Promise<void> {
  const { client, connection } = await connectClient(address);
  const seen = new Set<string>();
  for await (const { type, status, workflowId, runId } of client.workflow.list()) {
    const file = `${stage}.${type}-${status.name.toLowerCase()}.json`;
    if (seen.has(file)) continue;
    seen.add(file);
    await saveHistory(client.workflow, file, workflowId, runId);
    process.stdout.write(`${file}\n`);
  }
  await connection.close();
}
