import type { LogicalReadPoint, TaskResult, TransferTask } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { LogicalSource } from '../model/pipeline.ts';
import type { BackupContext, RowEngine } from './engine.ts';
import { PackWriter, packsOfBackup } from './pack-writer.ts';
import { PutsBehind } from './puts-behind.ts';
import { SharedParts } from './shared-parts.ts';

/**
 * Uploads the chunks of one task, and returns the objects that they became once all are stored. If the task has several chunks and the engine
 * packs, small parts go into packs. If the repository shares rows, parts become shared objects. Throws what the engine and the store throw.
 */
export async function uploadTask<S extends LogicalSource>(
  engine: Pick<RowEngine<S>, 'upload' | 'sharesRows'>,
  context: BackupContext,
  source: S,
  readPoint: LogicalReadPoint,
  task: TransferTask,
  options: { readonly zstdLevel: number },
): Promise<TaskResult> {
  const puts = new PutsBehind();
  const shares = engine.sharesRows === true && context.ref.repository.shareRows === true;
  const shared = shares ? await SharedParts.open(context) : undefined;
  const packs =
    shared === undefined && task.chunks.length > 1
      ? new PackWriter(packsOfBackup(context, readPoint, task.index))
      : undefined;
  const verb = { ...context, puts, ...defined({ packs, shared }) };
  try {
    const objects = await engine.upload(verb, source, readPoint, task.chunks, options);
    const stored = (await (shared ?? packs)?.finish(objects)) ?? { objects };
    await puts.settled();
    return { index: task.index, ...stored };
  } finally {
    // Even if reading fails, no put of this attempt goes on after its end.
    await puts.ended();
    packs?.release();
    shared?.release();
  }
}
