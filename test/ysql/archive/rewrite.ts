import type { StoredSegment } from '../../../model/archive.ts';
import { framesOf, putSegment, readSegment } from '../../../repository/archive/archive.ts';
import type { ArchiveId } from '../../../repository/archive/names.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import type { Store } from '../../../repository/store.ts';

/* Puts other messages into a stored segment, as a capture with a fault might have: header, name and checksums agree with them. */

export async function messagesOf(store: Store, segment: StoredSegment): Promise<readonly Buffer[]> {
  const frames = await Array.fromAsync(framesOf(readSegment(store, segment), segment.key), (frame) =>
    Buffer.from(frame),
  );
  return frames.slice(1);
}

/** Replaces the segment. Returns what puts the sound one back. */
export async function rewriteSegment(
  store: Store,
  id: ArchiveId,
  segment: StoredSegment,
  messages: readonly Buffer[],
): Promise<{ undo(): Promise<void> }> {
  const [timeline = ''] = segment.key.split('/').slice(-2);
  const sound = await store.get(segment.key);
  await store.delete([segment.key]);
  const begins = messages.filter((message) => message[0] === 0x42);
  const header = {
    ...{ formatVersion: 1, timeline, startLsn: segment.startLsn, endLsn: segment.endLsn },
    ...{ transactions: begins.length, messages: messages.length },
  };
  const frames = messages.map((message) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.length);
    return Buffer.concat([length, message]);
  });
  const body = compressFrame(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...frames]), 1);
  const wrong = await putSegment(store, id, timeline, segment, body);
  return {
    async undo() {
      await store.delete([wrong.key]);
      await store.put(segment.key, sound, { sha256: sha256Hex(sound), ifAbsent: true });
    },
  };
}
