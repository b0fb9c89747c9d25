import { zstdDecompressSync } from 'node:zlib';
import { PartBuilder } from '../../engines/threads/part-builder.ts';
import { sha256Hex } from '../../repository/sha256.ts';

test('parts that lie one behind the other in one memory stay valid until the memory is begun anew', () => {
  const builder = new PartBuilder(1);
  const texts = ['one\ntwo\n', 'three\n', `${'long '.repeat(100_000)}\n`];
  const parts = texts.map((text) => {
    builder.add(Buffer.from(text), 1);
    const part = builder.finish();
    builder.next();
    return part;
  });
  for (const [place, part] of parts.entries()) {
    const body = Buffer.from(part.body);
    expect(zstdDecompressSync(body).toString()).toBe(texts[place]);
    expect(part).toMatchObject({ rows: 1, bytes: texts[place]?.length, sha256: sha256Hex(body) });
  }
  expect(builder.storedBytes).toBe(parts.reduce((sum, { body }) => sum + body.length, 0));

  builder.restart();
  expect(builder.storedBytes).toBe(0);
  builder.add(Buffer.from('again\n'), 1);
  const again = Buffer.from(builder.finish().body);
  expect(zstdDecompressSync(again).toString()).toBe('again\n');
  builder.release();
});
