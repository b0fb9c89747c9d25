import fc from 'fast-check';
import { encode, FrameWalker, type Piece } from './frames.ts';

const message = fc.record({
  type: fc.constantFrom('d', 'D', 'Z', 'T', 'Q'),
  body: fc.uint8Array({ maxLength: 40 }),
});

/** Lists messages in order, with the bulk bytes between them as one run. */
function summary(pieces: readonly Piece[]): readonly string[] {
  const lines: string[] = [];
  for (const piece of pieces) {
    const bytes = piece.bytes.toString('hex');
    const last = lines.at(-1);
    if (piece.kind === 'bulk' && last?.startsWith('bulk')) lines[lines.length - 1] = last + bytes;
    else lines.push(`${piece.kind === 'bulk' ? 'bulk' : piece.type} ${bytes}`);
  }
  return lines;
}

test('a stream cut anywhere gives the same messages, and loses no byte', () => {
  fc.assert(
    fc.property(fc.array(message), fc.infiniteStream(fc.integer({ min: 1, max: 12 })), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(({ type, body }) => encode(type, Buffer.from(body))));
      const walker = new FrameWalker('dD');
      const pieces: Piece[] = [];
      for (let at = 0; at < stream.length; ) {
        const length = cuts.next().value ?? 1;
        pieces.push(...walker.feed(stream.subarray(at, at + length)));
        at += length;
      }
      expect(summary(pieces)).toEqual(summary([...new FrameWalker('dD').feed(stream)]));
      expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(stream)).toBe(true);
    }),
  );
});
