import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import type { z } from 'zod';
import { messageOf } from '../../model/errors.ts';
import { damaged } from '../store-errors.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
const LEVEL = 3;

/** Encodes long JSON: compressed by zstd, with zstd's own checksum, so that damage is noticed even where no hash is known. */
export async function packJson(value: unknown): Promise<Uint8Array> {
  return compress(JSON.stringify(value), {
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}

/** The value of packed JSON. Throws `STORE_DAMAGED` (permanent) where it has another shape. */
export async function unpackJson<T>(
  bytes: Uint8Array,
  schema: z.ZodType<T>,
  key: string,
  where: string,
): Promise<T> {
  let value: unknown;
  try {
    value = JSON.parse((await decompress(bytes)).toString());
  } catch (error) {
    throw damaged(key, where, `it is not zstd compressed JSON (${messageOf(error)})`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw damaged(key, where, parsed.error.issues[0]?.message ?? 'not as documented');
}
