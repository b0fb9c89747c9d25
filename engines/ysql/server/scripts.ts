import { createHash } from 'node:crypto';
import type { ObjectEntry, ReadPoint } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { BackupContext } from '../../engine.ts';

/** The SQL scripts of each database in a backup (for a universe one script, `schema`). `globals` exists once, beside them. */
export type ScriptName = 'database' | 'pre-data' | 'post-data' | 'large-objects' | 'sequences' | 'schema';

/**
 * Stores a script as `schema/e<epoch>/<path>-<12 hex of its SHA-256>.sql`. The name holds the hash so that two writers of one
 * epoch (a worker presumed dead, and its successor) can't write different bytes to one key.
 */
export async function putScript(
  verb: BackupContext,
  readPoint: Pick<ReadPoint, 'epoch'>,
  path: `${number}/${ScriptName}` | 'globals',
  text: string,
): Promise<ObjectEntry> {
  const body = Buffer.from(text, 'utf8');
  const sha256 = createHash('sha256').update(body).digest('hex');
  const key = `schema/e${readPoint.epoch}/${path}-${sha256.slice(0, 12)}.sql`;
  await verb.store.put(verb.folder + key, body, { sha256, ifAbsent: true, signal: verb.signal });
  return { key, sizeBytes: body.length, sha256 };
}

/** Finds one script among a database's schema objects, or `globals` among the common ones; undefined when it isn't there. */
export function findScript(
  objects: readonly ObjectEntry[],
  name: ScriptName | 'globals',
): ObjectEntry | undefined {
  const file = new RegExp(`/${name}-[0-9a-f]{12}\\.sql$`);
  return objects.find(({ key }) => file.test(key));
}

/** Reads a script and verifies its size and SHA-256. */
export async function readScript(verb: BackupContext, object: ObjectEntry): Promise<string> {
  const body = await verb.store.get(verb.folder + object.key, {
    expect: { sizeBytes: object.sizeBytes, sha256: object.sha256 },
    signal: verb.signal,
  });
  return Buffer.from(body).toString('utf8');
}

/** Like `findScript`, for scripts that the backup must have. Throws `BACKUP_WITHOUT_SCHEMA` (permanent). */
export function requireScript(
  objects: readonly ObjectEntry[],
  name: ScriptName,
  database: string,
): ObjectEntry {
  const object = findScript(objects, name);
  if (object !== undefined) return object;
  throw permanent(
    'BACKUP_WITHOUT_SCHEMA',
    `The backup holds no ${name} script of database "${database}"`,
    'It was made with `contents: data`: restore with contents "data" into existing tables.',
  );
}
