import { z } from 'zod';
import type { SegmentHeader } from '../../model/archive.ts';
import { permanent } from '../../model/errors.ts';

const lsn = z.string().regex(/^[0-9A-F]{16}$/);

const headerSchema: z.ZodType<SegmentHeader> = z.object({
  formatVersion: z.literal(1),
  timeline: z.string(),
  startLsn: lsn,
  endLsn: lsn,
  transactions: z.number(),
  messages: z.number(),
  sequences: z
    .array(z.object({ schema: z.string(), name: z.string(), lastValue: z.string().nullable() }))
    .exactOptional(),
  schemaFingerprint: z.string().exactOptional(),
  sampledAt: z.object({ micros: z.number(), lsn }).exactOptional(),
});

/** The first line of a segment's text. Throws `ARCHIVE_BAD_SEGMENT` (permanent) where it is none; `what` begins the sentence. */
export function segmentHeaderOf(line: Uint8Array, what: string): SegmentHeader {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(line).toString('utf8'));
  } catch (error) {
    throw badHeader(what, error);
  }
  const parsed = headerSchema.safeParse(value);
  if (!parsed.success) throw badHeader(what, parsed.error);
  return parsed.data;
}

function badHeader(what: string, cause: unknown): Error {
  return permanent(
    'ARCHIVE_BAD_SEGMENT',
    `${what} has no header that this version can read`,
    'A newer version wrote it, or it is damaged: use that version, or restore an instant before the segment.',
    cause,
  );
}
