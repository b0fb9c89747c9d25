import type { FileHandle } from 'node:fs/promises';

/** Reads `sizeBytes` bytes from `position` on, into memory of their own. Undefined if the file ends before. */
export async function readFully(
  handle: FileHandle,
  position: number,
  sizeBytes: number,
): Promise<Buffer | undefined> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  for (let read = 0; read < sizeBytes; ) {
    const { bytesRead } = await handle.read(bytes, read, sizeBytes - read, position + read);
    if (bytesRead === 0) return undefined;
    read += bytesRead;
  }
  return bytes;
}
