import { StorageClass } from '@aws-sdk/client-s3';
import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import type { S3Location } from '../../model/pipeline.ts';
import { DAY_MS } from '../../model/time.ts';
import { isLocked } from '../layout.ts';

/** How S3 should keep each object, by the plan. A put and a multipart upload take the same members. */
export interface ObjectSettings {
  readonly StorageClass?: StorageClass;
  readonly ServerSideEncryption?: 'AES256' | 'aws:kms';
  readonly SSEKMSKeyId?: string;
}

/** Throws `STORE_BAD_OPTION` (permanent) for a storage class that S3 doesn't know. */
export function objectSettings(location: S3Location): ObjectSettings {
  return {
    ...(location.storageClass === undefined ? {} : { StorageClass: knownClass(location.storageClass) }),
    ...defined({ ServerSideEncryption: location.serverSideEncryption, SSEKMSKeyId: location.kmsKeyId }),
  };
}

/** The lock of an object that is written now. */
export interface LockSettings {
  readonly ObjectLockMode?: 'GOVERNANCE' | 'COMPLIANCE';
  readonly ObjectLockRetainUntilDate?: Date;
}

/** The lock that a put must set. Empty where the plan locks nothing, or not this object. */
export function lockSettings(location: S3Location, key: string, now: Date): LockSettings {
  const { objectLock } = location;
  if (objectLock === undefined || !isLocked(key)) return {};
  return {
    ObjectLockMode: objectLock.mode,
    // Stores keep whole seconds, and some drop the rest, so the end is rounded up.
    ObjectLockRetainUntilDate: new Date(Math.ceil(now.getTime() / 1000) * 1000 + objectLock.days * DAY_MS),
  };
}

function knownClass(name: string): StorageClass {
  const known = Object.values(StorageClass).find((storageClass) => storageClass === name);
  if (known !== undefined) return known;
  throw permanent(
    'STORE_BAD_OPTION',
    `The storage class ${JSON.stringify(name)} is none that S3 knows.`,
    `Set \`storageClass\` in the plan file to one of ${Object.values(StorageClass).join(', ')}.`,
  );
}
