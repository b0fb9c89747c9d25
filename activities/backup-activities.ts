import { metricMeter } from '@temporalio/activity';
import type { BackupContext } from '../engines/engine.ts';
import { leftToPrune } from '../engines/left-to-prune.ts';
import { engineOf, logical } from '../engines/registry.ts';
import { rowsAt } from '../engines/row-engine.ts';
import { sealBackup } from '../engines/sealing.ts';
import { uploadTask } from '../engines/upload-task.ts';
import type { BackupRef, DataObject, TaskResult, TaskSummary } from '../model/backup.ts';
import { permanent } from '../model/errors.ts';
import { findTaskResult, writeTaskResult } from '../repository/backups/work.ts';
import { crashPoint } from '../repository/crash-points.ts';
import { discardBackup } from '../repository/retention/sweep.ts';
import { inBackup as inBackupOf } from './backup-context.ts';
import type { Activities } from './contract.ts';
import type { Repositories } from './repositories.ts';

/** The activities from the work list to the sealed backup (export, upload, seal), and the clean-up of an unfinished backup. */
export function backupActivities(
  repositories: Repositories,
): Pick<Activities, 'export' | 'upload' | 'seal' | 'cleanUp'> {
  const inBackup = <T>(ref: BackupRef, body: (context: BackupContext) => Promise<T>): Promise<T> =>
    inBackupOf(repositories, ref, body);

  return {
    export: ({ ref, source, readPoint }) =>
      inBackup(ref, async (context) => (await engineOf(source)).listWork(context, source, readPoint)),

    upload: ({ ref, source: any, readPoint, shard, task: position, zstdLevel }) =>
      inBackup(ref, async (context) => {
        const source = logical(any);
        const { store, signal } = context;
        const { epoch } = readPoint;
        const task = (await repositories.batch(ref, epoch, shard))[position];
        if (task === undefined) throw noSuchTask(shard, position);
        // An earlier attempt may have written the result, and only its answer to Temporal was lost. Then this one sends nothing.
        const known =
          context.attempt > 1 ? await findTaskResult(store, ref, epoch, task.index, { signal }) : undefined;
        if (known !== undefined) return summaryOf(known);
        if (context.attempt > 1) countSentAgain(ref.plan, task.chunks.length);
        const sent = await uploadTask(await engineOf(source), context, source, rowsAt(readPoint), task, {
          zstdLevel,
        });
        crashPoint('upload-stored');
        const result = await writeTaskResult(store, ref, epoch, sent, { signal });
        crashPoint('upload-result');
        return summaryOf(result);
      }),

    seal: (input) =>
      inBackup(input.ref, async (context) => sealBackup(await engineOf(input.source), context, input)),

    cleanUp: ({ ref }) =>
      inBackup(ref, async (context) => {
        const { store, signal, heartbeat } = context;
        const reason = 'its run ended before it was finished';
        const swept = await leftToPrune(context, () =>
          discardBackup(store, ref, reason, { signal, heartbeat }),
        );
        return { removedObjects: swept?.deletedObjects ?? 0 };
      }),
  };
}

/** Counts the chunks of a task that begins again, after a worker died or a store or database failed. */
function countSentAgain(plan: string, chunks: number): void {
  metricMeter
    .createCounter('holdfast_chunks_sent_again', undefined, 'chunks of table data that were begun once more')
    .add(chunks, { plan });
}

function summaryOf({ index, objects, packs = [] }: TaskResult): TaskSummary {
  const sum = (of: (object: DataObject) => number) =>
    objects.reduce((total, object) => total + of(object), 0);
  return {
    index,
    rows: sum((object) => object.rows),
    bytes: sum((object) => object.bytes),
    storedBytes: sum((object) => object.sizeBytes),
    objects: objects.filter(({ at }) => at === undefined).length + packs.length,
  };
}

function noSuchTask(batch: number, position: number) {
  return permanent(
    'WORK_LIST_DAMAGED',
    `the work list’s batch ${batch} has no task ${position}`,
    'Start the backup again; if it happens twice, check who else writes into the repository.',
  );
}
