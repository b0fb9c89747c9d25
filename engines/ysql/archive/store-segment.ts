import type { SegmentHeader } from '../../../model/archive.ts';
import {
  ARCHIVE_FORMAT_VERSION,
  putSegment,
  putSegmentOfParts,
  putSegmentPart,
  type SegmentPart,
} from '../../../repository/archive/archive.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import type { ArchiveContext } from './context.ts';
import type { ClosedSegment } from './segment-builder.ts';

/**
 * Stores a segment, holding the lease. When this returns, its end may be acknowledged.
 *
 * @param parts that were stored already; with one of them, `closed` is the rest
 */
export async function storeSegment(
  { store, request, signal, lease }: ArchiveContext,
  timeline: string,
  closed: ClosedSegment,
  parts: readonly SegmentPart[],
  sample: Pick<SegmentHeader, 'sequences' | 'schemaFingerprint' | 'sampledAt'>,
): Promise<void> {
  const { startLsn, endLsn, minCommitMicros, maxCommitMicros, transactions, messages } = closed;
  const header: SegmentHeader = {
    formatVersion: ARCHIVE_FORMAT_VERSION,
    timeline,
    startLsn,
    endLsn,
    transactions,
    messages,
    ...sample,
  };
  const head = compressFrame(Buffer.from(`${JSON.stringify(header)}\n`), 1);
  const range = { startLsn, endLsn, minCommitMicros, maxCommitMicros };
  if (parts.length === 0) {
    await lease.hold({ signal });
    await putSegment(store, request, timeline, range, Buffer.concat([head, ...closed.frames]), { signal });
    return;
  }
  const put = (body: Buffer) => putSegmentPart(store, request, timeline, body, { signal });
  const all = [await put(head), ...parts];
  if (closed.frames.length > 0) all.push(await put(Buffer.concat(closed.frames)));
  await lease.hold({ signal });
  await putSegmentOfParts(store, request, timeline, range, all, { signal });
}
