import { differenceInContent } from '../../repository/backups/content.ts';
import { compressFrame } from '../../repository/backups/zstd-frames.ts';

const ROWS_IN_A_FRAME = 1000;
const frame = (number: number) =>
  Buffer.from(Array.from({ length: ROWS_IN_A_FRAME }, (_, row) => `${number}\t${row}\tsome text\n`).join(''));

describe('the content of an object of many frames', () => {
  const texts = Array.from({ length: 5 }, (_, number) => frame(number));
  const frames = texts.map((text) => compressFrame(text, 1));
  const expected = {
    rows: texts.length * ROWS_IN_A_FRAME,
    bytes: texts.reduce((sum, text) => sum + text.length, 0),
  };

  it('is read to the last frame', async () => {
    await expect(differenceInContent(Buffer.concat(frames), expected)).resolves.toBeUndefined();
  });

  it('differs where a whole frame is missing', async () => {
    const cut = Buffer.concat(frames.slice(0, -1));
    await expect(differenceInContent(cut, expected)).resolves.toMatch(/decompresses to \d+ bytes instead of/);
  });

  it('does not decompress where a frame is cut', async () => {
    const cut = Buffer.concat(frames).subarray(0, -3);
    await expect(differenceInContent(cut, expected)).resolves.toMatch(/does not decompress/);
  });
});
