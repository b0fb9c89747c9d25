/*
 * Rows of CQL as they came over the wire (docs/repository-format.md, "CQL pages"): a header, then pages.
 *
 *   8 bytes   "HFCQLPG" and the version, 1
 *   uint32    length of the header; then the header, JSON in UTF-8
 *   pages     uint32 rows, uint32 length, int64 when it was read (milliseconds since 1970), then <length> bytes:
 *             rows × columns × [int32 length, or -1 for null | bytes], verbatim <rows_content> of the CQL protocol, version 4
 *
 * All numbers are big-endian.
 */

const MAGIC = Buffer.from('HFCQLPG\x01', 'latin1');
/** The magic bytes and the header's length. */
const PREFIX_BYTES = MAGIC.length + 4;
const PAGE_HEAD_BYTES = 16;

/** One selected column, or a function of a column (`writetime`, `ttl`). */
export interface CqlPageColumn {
  readonly name: string;
  /** CQL's name of the type, as in `system_schema.columns`. For a write time or TTL, the type that the server answered with. */
  readonly type: string;
  readonly kind: 'partition_key' | 'clustering' | 'static' | 'regular' | 'writetime' | 'ttl';
}

/** The header of a file of pages: whose rows it has, and their columns. */
export interface CqlPageHeader {
  readonly keyspace: string;
  readonly table: string;
  readonly columns: readonly CqlPageColumn[];
  /** True: the first partition began in the previous part, whose rows repeat its static columns. Only for tables with static columns. */
  readonly continued?: boolean;
}

interface CqlPage {
  readonly rows: number;
  /** When the page was requested, milliseconds since 1970. TTLs count from then. */
  readonly readAtMs: number;
  readonly body: Buffer;
}

/** The bytes before the first page of a file. */
export function encodePageFileHeader(header: CqlPageHeader): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([MAGIC, length, json]);
}

/** The bytes before the rows of a page. */
export function encodePageHead({ rows, readAtMs, body }: CqlPage): Buffer {
  const head = Buffer.alloc(PAGE_HEAD_BYTES);
  head.writeUInt32BE(rows, 0);
  head.writeUInt32BE(body.length, 4);
  head.writeBigInt64BE(BigInt(readAtMs), 8);
  return head;
}

interface OpenPageFile {
  readonly header: CqlPageHeader;
  readonly pages: AsyncGenerator<CqlPage>;
}

/**
 * Reads the header of decompressed blocks. Reads pages on demand, with one in memory at a time. Throws `RangeError` where the bytes
 * aren't pages.
 */
export async function openPageFile(blocks: AsyncIterable<Buffer>): Promise<OpenPageFile> {
  const reader = new BlockReader(blocks);
  const header = await readHeader(reader);
  return { header, pages: pagesOf(reader) };
}

async function readHeader(reader: BlockReader): Promise<CqlPageHeader> {
  const prefix = await reader.take(PREFIX_BYTES);
  if (prefix === undefined || !prefix.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new RangeError('it does not begin as a file of CQL pages does');
  }
  const json = await reader.take(prefix.readUInt32BE(MAGIC.length));
  if (json === undefined) throw new RangeError('its header is cut off');
  return JSON.parse(json.toString()) as CqlPageHeader;
}

async function* pagesOf(reader: BlockReader): AsyncGenerator<CqlPage> {
  for (;;) {
    const head = await reader.take(PAGE_HEAD_BYTES);
    if (head === undefined) return;
    const rows = head.readUInt32BE(0);
    const readAtMs = Number(head.readBigInt64BE(8));
    const body = await reader.take(head.readUInt32BE(4));
    if (body === undefined) throw new RangeError('its last page is cut off');
    yield { rows, readAtMs, body };
  }
}

/** Cuts a stream of blocks into pieces of the requested lengths. */
class BlockReader {
  readonly #blocks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(blocks: AsyncIterable<Buffer>) {
    this.#blocks = blocks[Symbol.asyncIterator]();
  }

  /**
   * The next `length` bytes. Undefined at the end; throws where fewer than `length` bytes are left. A piece that spans blocks has memory
   * of its own, of exactly its size: pieces may be large, and whoever has used one can free it.
   */
  async take(length: number): Promise<Buffer | undefined> {
    if (this.#rest.length >= length) {
      const piece = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      return piece;
    }
    const piece = Buffer.allocUnsafeSlow(length);
    let have = this.#rest.copy(piece);
    while (have < length) {
      const next = await this.#blocks.next();
      if (next.done === true) {
        if (have === 0) return undefined;
        throw new RangeError(`it ends ${length - have} bytes too early`);
      }
      const taken = next.value.copy(piece, have);
      have += taken;
      this.#rest = next.value.subarray(taken);
    }
    return piece;
  }
}

/** Counts the rows in a file of pages, block by block. Keeps only the heads of pages in memory. */
export class PageRows {
  rows = 0;
  #head: Buffer = Buffer.alloc(0);
  #skip = 0;
  #inHeader = true;

  add(block: Buffer): void {
    let at = 0;
    while (at < block.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, block.length - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      const wanted = this.#inHeader ? PREFIX_BYTES : PAGE_HEAD_BYTES;
      const step = Math.min(wanted - this.#head.length, block.length - at);
      this.#head = Buffer.concat([this.#head, block.subarray(at, at + step)]);
      at += step;
      if (this.#head.length === wanted) this.#readHead();
    }
  }

  end(): void {
    if (this.#inHeader || this.#skip > 0 || this.#head.length > 0) throw new RangeError('it is cut off');
  }

  #readHead(): void {
    if (this.#inHeader) {
      if (!this.#head.subarray(0, MAGIC.length).equals(MAGIC)) {
        throw new RangeError('it does not begin as a file of CQL pages does');
      }
      this.#skip = this.#head.readUInt32BE(MAGIC.length);
      this.#inHeader = false;
    } else {
      this.rows += this.#head.readUInt32BE(0);
      this.#skip = this.#head.readUInt32BE(4);
    }
    this.#head = Buffer.alloc(0);
  }
}
