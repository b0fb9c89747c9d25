/** The function `framesOf` of scripts that must run without Holdfast (`load.mjs`, `decode.mjs`), as plain JavaScript. */
export const FRAMES_OF = `/** A file is zstd frames one after another, and Node decompresses the first of what it is given. */
function* framesOf(file) {
  for (let start = 0, end = 0; start < file.length; start = end) {
    // Frames that every reader passes over: signatures, stamps of parts.
    if ((file.readUInt32LE(start) & 0xfffffff0) >>> 0 === 0x184d2a50) {
      end = start + 8 + file.readUInt32LE(start + 4);
      continue;
    }
    const flags = file[start + 4];
    const single = (flags >> 5) & 1;
    end = start + 5 + (single ? 0 : 1) + [0, 1, 2, 4][flags & 3] + [single, 2, 4, 8][flags >> 6];
    for (let last = false; !last; ) {
      const block = file.readUIntLE(end, 3);
      last = (block & 1) === 1;
      end += 3 + (((block >> 1) & 3) === 1 ? 1 : block >> 3);
    }
    end += flags & 4 ? 4 : 0;
    yield file.subarray(start, end);
  }
}`;
