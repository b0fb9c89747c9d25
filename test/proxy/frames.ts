/**
 * Messages of PostgreSQL's wire protocol, version 3: one byte of type, four bytes of length (itself included), body.
 * Source: PostgreSQL documentation, "Message Formats".
 */

/** A whole message, or a run of bulk bytes (COPY data, result rows) that the proxy doesn't examine. */
export type Piece =
  | { readonly kind: 'message'; readonly type: string; readonly bytes: Buffer }
  | { readonly kind: 'bulk'; readonly bytes: Buffer };

const HEADER_BYTES = 5;

/**
 * Cuts a byte stream into pieces. It never assembles or copies bulk messages: adjacent ones in a chunk become one slice of that
 * chunk, so a COPY costs only a walk over the headers.
 */
export class FrameWalker {
  readonly #bulkTypes: ReadonlySet<number>;
  #bulkRemaining = 0;
  #partial: Buffer[] = [];
  #partialBytes = 0;

  /** `bulkTypes`: the message types to pass on as bulk bytes, e.g. `dD`. */
  constructor(bulkTypes: string) {
    this.#bulkTypes = new Set(Buffer.from(bulkTypes, 'latin1'));
  }

  *feed(chunk: Buffer): Generator<Piece> {
    let offset = 0;
    let bulkStart = 0;
    if (this.#partialBytes > 0) {
      offset = this.#fillPartial(chunk);
      const begun = this.#takePartial();
      if (begun === undefined) return;
      yield begun;
      bulkStart = offset;
    }
    while (offset < chunk.length) {
      if (this.#bulkRemaining > 0) {
        const taken = Math.min(this.#bulkRemaining, chunk.length - offset);
        this.#bulkRemaining -= taken;
        offset += taken;
        continue;
      }
      const available = chunk.length - offset;
      const total = available < HEADER_BYTES ? Number.POSITIVE_INFINITY : 1 + chunk.readInt32BE(offset + 1);
      if (available >= HEADER_BYTES && this.#bulkTypes.has(chunk[offset] ?? 0)) {
        this.#bulkRemaining = total;
        continue;
      }
      if (offset > bulkStart) yield { kind: 'bulk', bytes: chunk.subarray(bulkStart, offset) };
      if (available < total) {
        this.#partial = [chunk.subarray(offset)];
        this.#partialBytes = available;
        return;
      }
      yield message(chunk.subarray(offset, offset + total));
      offset += total;
      bulkStart = offset;
    }
    if (offset > bulkStart) yield { kind: 'bulk', bytes: chunk.subarray(bulkStart, offset) };
  }

  /** Adds this chunk's part of the message that began in an earlier chunk. Returns the number of bytes taken. */
  #fillPartial(chunk: Buffer): number {
    let taken = 0;
    while (taken < chunk.length) {
      const wanted = this.#partialBytes < HEADER_BYTES ? HEADER_BYTES : this.#partialTotal();
      if (this.#partialBytes >= wanted) break;
      if (this.#partialBytes >= HEADER_BYTES && this.#partialIsBulk()) break;
      const part = chunk.subarray(taken, taken + wanted - this.#partialBytes);
      this.#partial.push(part);
      this.#partialBytes += part.length;
      taken += part.length;
    }
    return taken;
  }

  #takePartial(): Piece | undefined {
    if (this.#partialBytes < HEADER_BYTES) return undefined;
    const total = this.#partialTotal();
    const bulk = this.#partialIsBulk();
    if (!bulk && this.#partialBytes < total) return undefined;
    const bytes = Buffer.concat(this.#partial);
    this.#partial = [];
    this.#partialBytes = 0;
    if (!bulk) return message(bytes);
    this.#bulkRemaining = total - bytes.length;
    return { kind: 'bulk', bytes };
  }

  #partialHeader(): Buffer {
    if ((this.#partial[0]?.length ?? 0) < HEADER_BYTES) this.#partial = [Buffer.concat(this.#partial)];
    return this.#partial[0] ?? Buffer.alloc(0);
  }

  #partialTotal(): number {
    return 1 + this.#partialHeader().readInt32BE(1);
  }

  #partialIsBulk(): boolean {
    return this.#bulkTypes.has(this.#partialHeader()[0] ?? 0);
  }
}

function message(bytes: Buffer): Piece {
  return { kind: 'message', type: String.fromCharCode(bytes[0] ?? 0), bytes };
}

/** Builds a message of any type. */
export function encode(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(type, 0, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** A zero-terminated string. */
export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

export function query(sql: string): Buffer {
  return encode('Q', text(sql));
}

/** `I` outside a transaction, `T` inside one, `E` inside a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E';

export function readyForQuery(status: TransactionStatus): Buffer {
  return encode('Z', Buffer.from(status, 'latin1'));
}

export function transactionStatus(ready: Buffer): TransactionStatus {
  const status = String.fromCharCode(ready[HEADER_BYTES] ?? 0);
  if (status !== 'I' && status !== 'T' && status !== 'E') throw new Error(`no transaction status: ${status}`);
  return status;
}

export function notice(said: string): Buffer {
  return encode('N', text('SNOTICE'), text('VNOTICE'), text('C00000'), text(`M${said}`), Buffer.alloc(1));
}

/** The fields of an ErrorResponse by their one-letter code, e.g. `C` SQLSTATE, `M` message. */
export function errorFields(error: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const field of strings(error.subarray(HEADER_BYTES))) fields.set(field.slice(0, 1), field.slice(1));
  return fields;
}

export function errorResponse(fields: ReadonlyMap<string, string>): Buffer {
  return encode('E', ...[...fields].map(([code, value]) => text(code + value)), Buffer.alloc(1));
}

/** The first column of a DataRow as text. */
export function firstColumn(row: Buffer): string {
  const length = row.readInt32BE(HEADER_BYTES + 2);
  const start = HEADER_BYTES + 6;
  return row.toString('utf8', start, start + Math.max(length, 0));
}

/** Zero-terminated strings up to the first empty one. */
export function strings(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    if (end <= start) break;
    found.push(bytes.toString('utf8', start, end));
    start = end + 1;
  }
  return found;
}

/** The zero-terminated string at the start, and what follows it. */
export function cutString(bytes: Buffer): { readonly value: string; readonly rest: Buffer } {
  const end = bytes.indexOf(0);
  return { value: bytes.toString('utf8', 0, end), rest: bytes.subarray(end + 1) };
}

export function body(bytes: Buffer): Buffer {
  return bytes.subarray(HEADER_BYTES);
}
