import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { defined } from '../../model/defined.ts';
import { hexToBase64, sha256Hex } from '../sha256.ts';
import { listingGoesNowhere } from '../store-errors.ts';
import { s3ErrorName } from './errors.ts';

type Target = Omit<CreateMultipartUploadCommandInput, 'ChecksumAlgorithm' | 'ChecksumType'>;

/**
 * Sends one object in parts, each with its SHA-256. Sends them one after another, since slots already run in parallel. The object
 * appears when the upload is completed, under the same condition as a put in one piece. Throws the SDK's errors.
 */
export async function putInParts(
  client: S3Client,
  target: Target,
  body: Uint8Array,
  options: {
    readonly partBytes: number;
    readonly ifAbsent: boolean;
    readonly abortSignal?: AbortSignal;
    /** Wraps the sending of each part, so that a lost connection costs only one part. */
    readonly retryPart: <T>(send: () => Promise<T>) => Promise<T>;
  },
): Promise<void> {
  const sending = defined({ abortSignal: options.abortSignal });
  const started = await client.send(
    new CreateMultipartUploadCommand({ ...target, ChecksumAlgorithm: 'SHA256', ChecksumType: 'COMPOSITE' }),
    sending,
  );
  const upload = { Bucket: target.Bucket, Key: target.Key, UploadId: started.UploadId };
  try {
    const parts: CompletedPart[] = [];
    for (let start = 0; start < body.byteLength; start += options.partBytes) {
      const part = body.subarray(start, start + options.partBytes);
      const PartNumber = parts.length + 1;
      const ChecksumSHA256 = hexToBase64(sha256Hex(part));
      const { ETag } = await options.retryPart(() =>
        client.send(new UploadPartCommand({ ...upload, PartNumber, Body: part, ChecksumSHA256 }), sending),
      );
      parts.push({ PartNumber, ETag, ChecksumSHA256 });
    }
    await client.send(
      new CompleteMultipartUploadCommand({
        ...upload,
        MultipartUpload: { Parts: parts },
        ...(options.ifAbsent ? { IfNoneMatch: '*' } : {}),
      }),
      sending,
    );
  } catch (error) {
    await abandon(client, upload, error);
  }
}

/** Aborts the upload, since its parts cost money until then. Always throws `error`, even if the abort fails. */
async function abandon(
  client: S3Client,
  upload: {
    readonly Bucket: string | undefined;
    readonly Key: string | undefined;
    readonly UploadId: string | undefined;
  },
  error: unknown,
): Promise<never> {
  try {
    await client.send(new AbortMultipartUploadCommand(upload));
  } catch (abortError) {
    // `discardUnfinished` will abort it later. The first error says what is wrong.
    if (error instanceof Error && error.cause === undefined) error.cause = abortError;
  }
  throw error;
}

/** Aborts uploads under a prefix that began before an instant: a killed writer leaves them. Throws the SDK's errors, and `STORE_UNSUPPORTED` (permanent). */
export async function abortStaleUploads(
  client: S3Client,
  options: {
    readonly bucket: string;
    readonly prefix: string;
    /** Names the store in messages. */
    readonly description: string;
    readonly startedBefore: Date;
    readonly abortSignal?: AbortSignal;
  },
): Promise<number> {
  const sending = defined({ abortSignal: options.abortSignal });
  let aborted = 0;
  let marker: { readonly KeyMarker?: string | undefined; readonly UploadIdMarker?: string | undefined } = {};
  for (;;) {
    const page: ListMultipartUploadsCommandOutput = await client.send(
      new ListMultipartUploadsCommand({ Bucket: options.bucket, Prefix: options.prefix, ...marker }),
      sending,
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Initiated === undefined || Initiated >= options.startedBefore) continue;
      if (await abortUpload(client, { Bucket: options.bucket, Key, UploadId }, sending)) aborted++;
    }
    if (page.IsTruncated !== true) return aborted;
    const next = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    const isSame = next.KeyMarker === marker.KeyMarker && next.UploadIdMarker === marker.UploadIdMarker;
    if (next.KeyMarker === undefined || isSame) throw listingGoesNowhere(options.description);
    marker = next;
  }
}

/** Returns false where the upload has ended after it was listed. */
async function abortUpload(
  client: S3Client,
  upload: {
    readonly Bucket: string;
    readonly Key: string | undefined;
    readonly UploadId: string | undefined;
  },
  sending: { readonly abortSignal?: AbortSignal },
): Promise<boolean> {
  try {
    await client.send(new AbortMultipartUploadCommand(upload), sending);
    return true;
  } catch (error) {
    if (s3ErrorName(error) === 'NoSuchUpload') return false;
    throw error;
  }
}
