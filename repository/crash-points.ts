import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from './directory/errors.ts';

/**
 * Points between two steps where a crash is critical. Each says what has just happened and what has not. A crash test strikes them by
 * name (`test/crash/points.test.ts`); docs/crash-campaign.md lists them.
 */
export const CRASH_POINTS = {
  'put-written': 'a file of a directory repository is written under a temporary name, and has no other yet',
  'put-named': 'a file of a directory repository has its name, and its folder is not synced',
  'upload-stored': 'the objects of a task are stored, and its result is not',
  'upload-result': 'the result of a task is stored, and Temporal does not know',
  'seal-kit': 'the restore kit is written, and the manifest is not',
  'seal-manifest': 'the manifest is written, and the folder is not swept',
  'prepare-database': 'a database is created, and has no bookkeeping',
  'load-copied': 'the rows of an object are in the table, and the transaction is open',
  'load-committed': 'the rows of an object are committed, and Temporal does not know',
  'replay-before-commit':
    'archived changes and their position are in the database, and the transaction is open',
  'replay-committed': 'archived changes and their position are committed, and the next segments are not read',
  'finish-sealed': 'the end of a restore is sealed, and nothing of it is done',
  'finish-dropped': 'the bookkeeping is dropped, event triggers are off, and the transaction is open',
  'exchange-closed': 'the database to be replaced is closed to sessions, and names are as before',
  'exchange-done': 'the names are exchanged, and Temporal does not know',
  'delete-marked': 'a backup is marked as being deleted, and is whole',
  'delete-tombstone': 'a backup has a tombstone in place of its manifest, and its objects are there',
  'delete-swept': 'the objects of a deleted backup are gone, and its mark is there',
  'archive-stored': 'a segment of an archive of changes is stored, and the source does not know',
} as const;

export type CrashPoint = keyof typeof CRASH_POINTS;

/**
 * A folder of crash tests. A process that reaches a point removes the file of that name there, if there is one, and kills itself as `kill
 * -9` would.
 */
const FOLDER = process.env.HOLDFAST_CRASH_POINTS;

/** A point where a crash test may kill this process. Does nothing otherwise. */
export function crashPoint(point: CrashPoint): void {
  if (FOLDER === undefined) return;
  try {
    unlinkSync(join(FOLDER, point));
  } catch (error) {
    // No test asks for this point, or another process was faster.
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  process.kill(process.pid, 'SIGKILL');
}
