import { createHash } from 'node:crypto';
import type { ObjectEntry, ReadPoint } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import type { ManifestDatabase } from '../../model/manifest.ts';
import type { BackupContext } from '../engine.ts';
import type { KeyspaceSchema } from './schema.ts';

/** Stores a text as `schema/e<epoch>/<path>-<12 hex of its SHA-256>.<suffix>`. The hash gives two writers of one epoch different keys. */
export async function putSchemaText(
  verb: BackupContext,
  readPoint: ReadPoint,
  path: string,
  suffix: 'cql' | 'json',
  text: string,
): Promise<ObjectEntry> {
  const body = Buffer.from(text, 'utf8');
  const sha256 = createHash('sha256').update(body).digest('hex');
  const key = `schema/e${readPoint.epoch}/${path}-${sha256.slice(0, 12)}.${suffix}`;
  await verb.store.put(verb.folder + key, body, { sha256, ifAbsent: true, signal: verb.signal });
  return { key, sizeBytes: body.length, sha256 };
}

/** Reads the backup's schema of a keyspace. Throws `BACKUP_WITHOUT_SCHEMA` (permanent). */
export async function readSchemaObject(
  verb: BackupContext,
  { name, schemaObjects }: ManifestDatabase,
): Promise<KeyspaceSchema> {
  const object = schemaObjects.find(({ key }) => /\/schema-[0-9a-f]{12}\.json$/.test(key));
  if (object === undefined) {
    throw permanent(
      'BACKUP_WITHOUT_SCHEMA',
      `The backup holds no schema of keyspace ${name}`,
      'The manifest is not as Holdfast writes it: restore another backup.',
    );
  }
  const { sizeBytes, sha256 } = object;
  const body = await verb.store.get(verb.folder + object.key, {
    expect: { sizeBytes, sha256 },
    signal: verb.signal,
  });
  return JSON.parse(Buffer.from(body).toString('utf8')) as KeyspaceSchema;
}
