import { ApplicationFailure, isCancellation, ParentClosePolicy, startChild } from '@temporalio/workflow';
import { formatBytes } from '../model/amounts.ts';
import type { RestoreRequest } from '../model/backup.ts';
import { NO_SUCH_DATABASE, UNIVERSE_NO_DATABASE } from '../model/errors.ts';
import { isGlob } from '../model/glob.ts';
import { describeRows } from '../model/rows.ts';
import type { Source } from '../model/source.ts';
import { runChild } from './children.ts';
import { describeFailure } from './failures.ts';
import { backupWorkflowId, type WorkflowsByName } from './messages.ts';
import type { RunProgress } from './run-progress.ts';

/**
 * Makes the safety backup before a restore overwrites something. Returns its id; undefined where none was made. If the backup's only database
 * is gone, there is nothing to save, and the restore goes on. If one of several is gone, the restore is refused: the others would be
 * overwritten unsaved.
 */
export async function saveWhatIsThere(
  safety: RestoreRequest['safetyBackup'],
  progress: RunProgress,
): Promise<string | undefined> {
  if (safety === undefined) {
    progress.note('safety', { note: 'none: the request, or the plan, says no' });
    return undefined;
  }
  const { pipeline, backup: id } = safety;
  try {
    const { summary } = await runChild(() =>
      startChild<WorkflowsByName['backup']>('backup', {
        workflowId: backupWorkflowId(pipeline.plan, id),
        staticSummary: `safety backup of ${pipeline.plan} before it is overwritten`,
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        args: [{ pipeline, backup: id, hasTurn: true }],
      }),
    );
    progress.note('safety', {
      note: `${id}: ${describeRows(summary)}, ${formatBytes(summary.storedBytes)}`,
    });
    return id;
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { code, message } = describeFailure(error);
    const isGone = code === UNIVERSE_NO_DATABASE || message.includes(`SQLSTATE ${NO_SUCH_DATABASE}`);
    if (!isGone || !isOfOneDatabase(pipeline.source)) throw unsaved(message);
    progress.note('safety', { note: 'none: the database is not there, so nothing is overwritten' });
    return undefined;
  }
}

function isOfOneDatabase(source: Source): boolean {
  switch (source.engine) {
    case 'universe':
      return source.databases.length + source.keyspaces.length === 1;
    case 'ysql': {
      const [only, ...others] = source.databases?.include ?? [];
      return source.databases === undefined || (only !== undefined && !isGlob(only) && others.length === 0);
    }
    case 'ycql':
      return false;
  }
}

function unsaved(reason: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `nothing was overwritten, because the safety backup of what is there failed: ${reason} ` +
      'Mend that, or ask again with "safetyBackup": false (--no-safety-backup).',
    'SAFETY_BACKUP_FAILED',
  );
}
