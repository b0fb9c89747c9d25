import { GetObjectRetentionCommand, PutObjectRetentionCommand, type S3Client } from '@aws-sdk/client-s3';
import { transient } from '../../model/errors.ts';
import type { S3Location } from '../../model/pipeline.ts';
import type { LockTerm } from '../store.ts';
import { s3ErrorName } from './errors.ts';

interface Target {
  readonly Bucket: string;
  readonly Key: string;
}

/**
 * Tries once to extend an object's lock; the caller retries. Then asks the store for the lock, since a store may take the extension without
 * keeping it. An object keeps the mode in which it was locked: stores refuse to change it (versitygw and MinIO do, without a bypass).
 *
 * Throws the SDK's errors, and `STORE_LOCKS_LATE` (transient) where the store accepted the extension and doesn't show it (yet).
 */
export async function holdLock(
  client: S3Client,
  target: Target,
  mode: NonNullable<S3Location['objectLock']>['mode'],
  { needed, target: until }: LockTerm,
  options: { readonly abortSignal?: AbortSignal },
): Promise<'held' | 'extended' | 'absent'> {
  const before = await lockOf(client, target, options);
  if (before === 'absent') return before;
  if (before.until >= needed) return 'held';
  const Retention = { Mode: before.mode ?? mode, RetainUntilDate: until };
  try {
    await client.send(new PutObjectRetentionCommand({ ...target, Retention }), options);
  } catch (error) {
    // Another backup may have extended it meanwhile, by a little more: a store refuses to shorten a lock.
    const now = await lockOf(client, target, options);
    if (now !== 'absent' && now.until >= needed) return 'held';
    throw error;
  }
  const after = await lockOf(client, target, options);
  if (after === 'absent') return after;
  if (after.until >= needed) return 'extended';
  throw transient(
    'STORE_LOCKS_LATE',
    `The store took the extension of a lock until ${until.toISOString()}, and shows that of ${target.Key} as ending ${after.mode === undefined ? 'at once: it has none' : after.until.toISOString()}.`,
    'If this goes on, the store does not keep locks: remove `objectLock`, or use one that does; it is tried again.',
  );
}

interface Lock {
  readonly until: Date;
  readonly mode?: 'GOVERNANCE' | 'COMPLIANCE';
}

const NONE: Lock = { until: new Date(0) };

async function lockOf(
  client: S3Client,
  target: Target,
  options: { readonly abortSignal?: AbortSignal },
): Promise<Lock | 'absent'> {
  try {
    const { Retention } = await client.send(new GetObjectRetentionCommand(target), options);
    if (Retention?.RetainUntilDate === undefined || Retention.Mode === undefined) return NONE;
    return { until: Retention.RetainUntilDate, mode: Retention.Mode };
  } catch (error) {
    const name = s3ErrorName(error);
    if (name === 'NoSuchObjectLockConfiguration') return NONE;
    if (name === 'NoSuchKey') return 'absent';
    throw error;
  }
}
