import type { RestoreRequest } from '../model/backup.ts';
import { permanent } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';

/**
 * Refuses a restore of contents that the backup doesn't hold. Throws `BACKUP_WITHOUT_SCHEMA`, `BACKUP_WITHOUT_DATA` (permanent).
 *
 * @param target completes the remedy "Restore with contents "data" into …"
 */
export function refuseMissingContents(
  { contents }: RestoreRequest,
  held: Manifest['contents'],
  target: string,
): void {
  if (contents !== 'data' && held === 'data') {
    throw permanent(
      'BACKUP_WITHOUT_SCHEMA',
      'The backup holds data only',
      `Restore with contents "data" into ${target}.`,
    );
  }
  if (contents === 'data' && held === 'schema') {
    throw permanent(
      'BACKUP_WITHOUT_DATA',
      'The backup holds the schema only',
      'Restore with contents "schema".',
    );
  }
}
