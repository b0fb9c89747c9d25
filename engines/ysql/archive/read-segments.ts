import { postgresLsn, type SegmentHeader, type StoredSegment } from '../../../model/archive.ts';
import { permanent } from '../../../model/errors.ts';
import { framesOf, readSegment } from '../../../repository/archive/archive.ts';
import { segmentHeaderOf } from '../../../repository/archive/header.ts';
import type { Store } from '../../../repository/store.ts';

interface SegmentReading {
  readonly signal: AbortSignal;
  /** Of the timeline that the segments belong to. */
  readonly timeline: string;
  /** Told the header of each segment before its first message. */
  readonly begun?: (segment: StoredSegment, header: SegmentHeader) => void;
}

/**
 * The messages of `segments`, which follow each other, one segment in memory at a time. Each object is checked by its hash, each
 * header by the segment's name, each name by the one before.
 *
 * Throws `ARCHIVE_HOLE` and `ARCHIVE_BAD_SEGMENT` (permanent), and what reading an object throws.
 */
export async function* readMessages(
  store: Store,
  segments: readonly StoredSegment[],
  { signal, timeline, begun }: SegmentReading,
): AsyncGenerator<Uint8Array, void, undefined> {
  let before: StoredSegment | undefined;
  for (const segment of segments) {
    if (before !== undefined && before.endLsn !== segment.startLsn) {
      throw permanent(
        'ARCHIVE_HOLE',
        `The archive has a hole from ${postgresLsn(before.endLsn)} to ${postgresLsn(segment.startLsn)} in timeline ${timeline}`,
        'Restore an instant before the hole, or from a backup after it.',
      );
    }
    before = segment;
    const what = `Segment ${segment.key} in ${store.description}`;
    let messages = 0;
    let header: SegmentHeader | undefined;
    for await (const frame of framesOf(readSegment(store, segment, { signal }), what)) {
      if (header === undefined) {
        header = segmentHeaderOf(frame, what);
        requireOwnHeader(header, segment, timeline, what);
        begun?.(segment, header);
        continue;
      }
      messages += 1;
      yield frame;
    }
    if (header !== undefined && messages !== header.messages) {
      throw bad(what, `holds ${messages} messages, and its header says ${header.messages}`);
    }
  }
}

function requireOwnHeader(
  header: SegmentHeader,
  segment: StoredSegment,
  timeline: string,
  what: string,
): void {
  const isOwn =
    header.timeline === timeline && header.startLsn === segment.startLsn && header.endLsn === segment.endLsn;
  if (!isOwn) throw bad(what, 'has the header of another segment');
}

function bad(what: string, problem: string): Error {
  return permanent(
    'ARCHIVE_BAD_SEGMENT',
    `${what} ${problem}`,
    'Restore an instant before it; `holdfast status` names the intervals that are whole.',
  );
}
