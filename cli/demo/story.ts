import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runOf } from '../../library/run-handle.ts';
import { startBackup, startRestore } from '../../library/runs.ts';
import type { RestoreSummary } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import { type ServerProcess, startServer } from '../../parts/process.ts';
import { startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder } from '../../parts/scratch.ts';
import { startTemporal } from '../../parts/temporal.ts';
import { backupFolder } from '../../repository/layout.ts';
import { connectClient } from '../../worker/connection.ts';
import { registerSearchAttributes } from '../../worker/search-attributes.ts';
import type { BackupOutcome } from '../../workflows/messages.ts';
import { follow } from '../follow.ts';
import { say } from '../output.ts';
import type { Session } from '../session.ts';
import { runUrl } from '../session.ts';
import { type DemoDatabase, ORIGINAL, RESTORED } from './database.ts';

const BUCKET = 'holdfast-demo';
/**
 * How often the demo looks whether to kill the worker: short compared with the backup, so that this happens half-way on any
 * machine.
 */
const KILL_POLL_MS = 100;

/** One task at a time: with two, a fast machine would finish before the worker is killed. */
const PLAN = `# The demo's plan: back up \`shop\` into an S3 bucket.
apiVersion: holdfast/v1
kind: Repository
metadata: { name: demo }
spec:
  s3:
    bucket: ${BUCKET}
    endpoint: ENDPOINT
    region: us-east-1
    pathStyle: true
    credentials: { accessKeyId: { env: DEMO_S3_KEY }, secretAccessKey: { env: DEMO_S3_SECRET } }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: shop }
spec:
  source:
SOURCE
  repository: demo
  steps:
    - flush
    - snapshot
    - export
    - upload: { parallelism: 1 }
    - verify: { level: content }
`;

/** How the demo went. */
export interface DemoOutcome {
  readonly backup: string;
  readonly rows: number | null;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly durationMs: number;
  readonly workerKilledAtChunk: number;
  readonly epochs: number;
  readonly verdict: 'OK' | 'FAILED';
  readonly uiUrl: string;
}

/**
 * Plays the whole story with real parts, in a scratch folder: a database, a plan, a backup whose worker is killed half-way, a
 * restore, a comparison. Calls `explore` at the end, while everything still runs, and then stops everything.
 *
 * @param signal once it is aborted, no further part is started
 */
export async function tellStory(
  startDatabase: () => Promise<DemoDatabase>,
  explore: (folder: string) => Promise<void>,
  signal: AbortSignal,
): Promise<DemoOutcome> {
  await using cleanUp = new AsyncDisposableStack();
  const started = <P extends { stop(): Promise<void> }>(part: P): P => {
    cleanUp.defer(() => part.stop());
    signal.throwIfAborted();
    return part;
  };
  const folder = await createScratchFolder('demo');
  cleanUp.defer(() => folder.remove());

  chapter(1, 'Starting a database, an S3 gateway and Temporal, all on this machine');
  const database = started(await startDatabase());
  say(`   The database is ${database.part}.`);
  const s3 = started(await startS3Gateway());
  await s3.createBucket(BUCKET);
  const temporal = started(await startTemporal({ dbFile: join(folder.path, 'temporal.db') }));
  Object.assign(process.env, {
    ...database.environment,
    DEMO_S3_KEY: s3.accessKeyId,
    DEMO_S3_SECRET: s3.secretAccessKey,
    TEMPORAL_ADDRESS: temporal.address,
    HOLDFAST_UI_URL: temporal.uiAddress,
  });
  const { client, connection, target } = await connectClient(temporal.address);
  cleanUp.defer(() => connection.close());
  await registerSearchAttributes(connection, target.namespace);
  const uiUrl = temporal.uiAddress ?? '';
  const session: Session = {
    client,
    taskQueue: target.taskQueue,
    server: `${target.address}, namespace ${target.namespace}`,
    isEmbedded: false,
    queueOf: async () => target.taskQueue,
    uiUrl,
    tell: say,
    keepAlive: async () => undefined,
    end: async () => undefined,
  };

  chapter(2, `Filling ${database.contents}`);
  await database.fill();

  chapter(3, 'The plan, as a team would commit it');
  const planFile = join(folder.path, 'plans', 'shop.yaml');
  await mkdir(join(folder.path, 'plans'));
  const text = PLAN.replace('ENDPOINT', s3.endpoint).replace('SOURCE', database.source);
  await writeFile(planFile, text);
  for (const line of text.split('\n').slice(12, -1)) say(`    ${line}`);
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const plan = await resolvePlan(planFile);

  chapter(4, 'Backing up; half-way the worker is killed with kill -9');
  for (const node of database.nodes ?? []) {
    const agent = started(await startWorker(folder.path, '--tserver', node));
    say(`   agent ${agent.pid} runs beside node ${node}`);
  }
  // A process of its own holds the read point, as in production, so that the death of the worker costs only one chunk.
  started(await startWorker(folder.path, '--only', 'read-points'));
  const worker = started(await startWorker(folder.path, '--only', 'lanes'));
  const backupRun = await startBackup(session, plan);
  say(`   watch it: ${runUrl(session, backupRun.workflowId)}`);
  const dataFolder = join(
    s3.directory,
    BUCKET,
    backupFolder({ plan: plan.name, backup: backupRun.id }),
    'data',
  );
  let killedAt = 0;
  const followed = await follow(runOf<BackupOutcome>(session, backupRun.workflowId), {
    quiet: false,
    endsAtInterrupt: true,
    pollEveryMs: KILL_POLL_MS,
    onProgress: async (progress, tell) => {
      const upload = progress.steps.find(({ verb }) => verb === 'upload');
      if (killedAt > 0 || upload?.state !== 'running') return;
      const { tasksDone = 0, tasksTotal = 0, unit = 'chunks' } = upload;
      // Count chunks in the bucket, since the run reports only every two seconds and may have ended by then.
      const stored = Math.max(tasksDone, await countFiles(dataFolder));
      if (stored === 0 || stored * 3 < tasksTotal) return;
      killedAt = stored;
      tell(
        `   kill -9 ${worker.pid} (the worker) after ${stored} of ${tasksTotal} ${unit}; starting another one …`,
      );
      await worker.kill9();
      await worker.restart();
    },
  });
  if (!followed.ended) throw permanent('DEMO_ENDED', 'the demo was ended', 'Run holdfast demo again.');
  const { summary, durationMs, epochs } = followed.result;

  const before = await database.digests(ORIGINAL);
  const { accident } = database;
  chapter(
    5,
    `Restoring it beside the original${accident === undefined ? '' : ', to which an accident happens first'}`,
  );
  if (accident !== undefined) {
    await accident.happens();
    say(`   ${accident.told}`);
  }
  const restoreRun = await startRestore(session, plan, {
    backup: summary.backup,
    into: { [ORIGINAL]: RESTORED },
  });
  const restored = await follow(runOf<RestoreSummary>(session, restoreRun.workflowId), {
    quiet: false,
    endsAtInterrupt: true,
  });
  if (!restored.ended) throw permanent('DEMO_ENDED', 'the demo was ended', 'Run holdfast demo again.');

  chapter(
    6,
    `Comparing every row of both${accident === undefined ? '' : ', the original as it was before the accident'}`,
  );
  const after = await database.digests(RESTORED);
  for (const [index, table] of before.entries()) {
    const same = JSON.stringify(table) === JSON.stringify(after[index]);
    say(
      `   ${same ? '✔' : '✘'} ${table.table}: ${table.rows} rows, digest ${table.digest} = ${after[index]?.digest}`,
    );
  }
  const verdict = JSON.stringify(before) === JSON.stringify(after) ? 'OK' : 'FAILED';
  say(verdict === 'OK' ? 'The restored database equals the original.' : 'The restored database DIFFERS.');
  await explore(folder.path);
  const { backup, rows, bytes, storedBytes } = summary;
  return {
    backup,
    rows,
    bytes,
    storedBytes,
    durationMs,
    workerKilledAtChunk: killedAt,
    epochs,
    verdict,
    uiUrl,
  };
}

/** Zero while the folder doesn't exist. */
async function countFiles(folder: string): Promise<number> {
  if (!existsSync(folder)) return 0;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

function chapter(number: number, title: string): void {
  say(`\n${number}. ${title}`);
}

/** @param option with its value: what the worker does */
function startWorker(folder: string, option: '--only' | '--tserver', value: string): Promise<ServerProcess> {
  const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
  return startServer({
    name: `the worker (${option} ${value})`,
    command: process.execPath,
    args: [fileURLToPath(new URL(`../main.${extension}`, import.meta.url)), 'worker', option, value],
    inherits: 'everything',
    // An agent remembers there what it sent.
    environment: { HOLDFAST_STATE_DIR: join(folder, 'state') },
    logFile: join(folder, `worker-${value.replace(':', '-')}.log`),
  });
}
