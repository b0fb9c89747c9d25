import {
  CopyObjectCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { defined } from '../../model/defined.ts';
import type { LostObject } from '../store.ts';
import { listingGoesNowhere } from '../store-errors.ts';
import type { LockSettings, ObjectSettings } from './settings.ts';

/** What a bucket remembers of one key at one time: contents, or the marker of a deletion. */
export interface KeyVersion {
  readonly key: string;
  readonly versionId: string;
  readonly isMarker: boolean;
  readonly isLatest: boolean;
  readonly modifiedAt: Date;
  readonly sizeBytes: number;
  readonly etag: string;
}

/**
 * Pages of versions as S3 lists them, in order of keys. The last key's versions may go on in the next page. Throws what `send` throws, and
 * `STORE_UNSUPPORTED` (permanent) where the listing would never end.
 */
export async function* versionPages(
  client: S3Client,
  {
    bucket,
    prefix,
    description,
  }: { readonly bucket: string; readonly prefix: string; readonly description: string },
  send: <T>(request: () => Promise<T>) => Promise<T>,
): AsyncGenerator<readonly KeyVersion[]> {
  let marker: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } = {};
  for (;;) {
    const from: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } = marker;
    const page: ListObjectVersionsCommandOutput = await send(() =>
      client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix, ...from })),
    );
    yield [
      ...(page.Versions ?? []).map((version) => ({ ...commonOf(version), isMarker: false })),
      ...(page.DeleteMarkers ?? []).map((version) => ({ ...commonOf(version), isMarker: true })),
    ];
    if (page.IsTruncated !== true) return;
    marker = defined({ KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker });
    const isSame = marker.KeyMarker === from.KeyMarker && marker.VersionIdMarker === from.VersionIdMarker;
    if (marker.KeyMarker === undefined || isSame) throw listingGoesNowhere(description);
  }
}

interface Listed {
  readonly Key?: string | undefined;
  readonly VersionId?: string | undefined;
  readonly IsLatest?: boolean | undefined;
  readonly LastModified?: Date | undefined;
  readonly Size?: number | undefined;
  readonly ETag?: string | undefined;
}

function commonOf({ Key, VersionId, IsLatest, LastModified, Size, ETag }: Listed) {
  return {
    key: Key ?? '',
    versionId: VersionId ?? 'null',
    isLatest: IsLatest === true,
    modifiedAt: timeOf(VersionId) ?? LastModified ?? new Date(0),
    sizeBytes: Size ?? 0,
    etag: ETag ?? '',
  };
}

/** A ULID: 26 digits of Crockford's base 32, of which the first ten are milliseconds since 1970. */
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * versitygw (1.8.0) names versions by ULIDs, and lists an older version with the time at which it was replaced, and the marker of a deletion with the time of what was deleted. So
 * its names tell when they were made. Other stores' names are of other lengths; undefined for these.
 */
function timeOf(versionId: string | undefined): Date | undefined {
  if (versionId === undefined || !ULID.test(versionId)) return undefined;
  const ms = [...versionId.slice(0, 10)].reduce((sum, digit) => sum * 32 + CROCKFORD.indexOf(digit), 0);
  return new Date(ms);
}

/**
 * What one key lost since an instant: the contents that it had then, where it has others now or none. Undefined where it has the same, and where it had none then:
 * what came later is not looked at.
 *
 * @param versions all of one key
 */
export function lossOf(versions: readonly KeyVersion[], since: Date): LostObject | undefined {
  // Stores list times in whole seconds: within one, what is latest comes last, and a deletion after the contents that it deletes.
  const inOrder = versions.toSorted(
    (one, other) =>
      one.modifiedAt.getTime() - other.modifiedAt.getTime() ||
      Number(one.isLatest) - Number(other.isLatest) ||
      Number(one.isMarker) - Number(other.isMarker),
  );
  const now = inOrder.find(({ isLatest }) => isLatest) ?? inOrder.at(-1);
  const then = inOrder.findLast(({ modifiedAt }) => modifiedAt <= since);
  if (now === undefined || then === undefined || then.isMarker || now.versionId === then.versionId)
    return undefined;
  if (!now.isMarker && now.etag === then.etag && now.sizeBytes === then.sizeBytes) return undefined;
  const { key, versionId, sizeBytes } = then;
  return {
    key,
    version: versionId,
    sizeBytes,
    happened: now.isMarker ? 'deleted' : 'overwritten',
    at: now.modifiedAt,
  };
}

/** Groups pages of versions by key. */
export async function* versionsByKey(
  pages: AsyncIterable<readonly KeyVersion[]>,
): AsyncGenerator<readonly KeyVersion[]> {
  let open = new Map<string, KeyVersion[]>();
  for await (const page of pages) {
    for (const version of page) {
      const known = open.get(version.key);
      if (known === undefined) open.set(version.key, [version]);
      else known.push(version);
    }
    // The versions of the last key may go on.
    const last = [...open.keys()].sort().at(-1);
    for (const [key, versions] of open) if (key !== last) yield versions;
    open = new Map([...open].filter(([key]) => key === last));
  }
  yield* open.values();
}

/**
 * Makes an older version the current one, by a copy within the store that it checks by SHA-256. S3 copies at most 5 GiB at once. Throws the SDK's errors.
 */
export async function copyVersion(
  client: S3Client,
  target: { readonly Bucket: string; readonly Key: string },
  version: string,
  settings: ObjectSettings & LockSettings,
  options: { readonly abortSignal?: AbortSignal },
): Promise<void> {
  const source = [target.Bucket, ...target.Key.split('/')].map(encodeURIComponent).join('/');
  await client.send(
    new CopyObjectCommand({
      ...target,
      ...settings,
      CopySource: `${source}?versionId=${encodeURIComponent(version)}`,
      ChecksumAlgorithm: 'SHA256',
    }),
    options,
  );
}
