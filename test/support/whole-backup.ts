import type { BackupContext, RowEngine } from '../../engines/engine.ts';
import { sealBackup } from '../../engines/sealing.ts';
import { uploadTask } from '../../engines/upload-task.ts';
import type { BackupSummary } from '../../model/backup.ts';
import type { LogicalSource } from '../../model/pipeline.ts';
import { findTaskResult, readBatch, readWorkList, writeTaskResult } from '../../repository/backups/work.ts';

/** Makes a whole backup in its repository, as the activities do it. */
export async function wholeBackup<S extends LogicalSource>(
  engine: RowEngine<S>,
  context: BackupContext,
  source: S,
): Promise<BackupSummary> {
  const { store, ref } = context;
  const { readPoint, held } = await engine.openReadPoint(context, source, 1);
  const { epoch } = readPoint;
  try {
    const { shards } = await engine.listWork(context, source, readPoint);
    const workList = await readWorkList(store, ref, epoch);
    for (let batch = 0; batch < shards; batch += 1) {
      for (const task of await readBatch(store, ref, workList, batch)) {
        const known = context.attempt > 1 ? await findTaskResult(store, ref, epoch, task.index) : undefined;
        if (known !== undefined) continue;
        const sent = await uploadTask(engine, context, source, readPoint, task, { zstdLevel: 1 });
        await writeTaskResult(store, ref, epoch, sent);
      }
    }
    const startedAt = readPoint.takenAt;
    return await sealBackup(engine, context, { ref, source, readPoint, pipelineHash: 'test', startedAt });
  } finally {
    await held?.close();
  }
}
