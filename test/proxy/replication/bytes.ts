/** Numbers and strings as the replication protocol writes them: big-endian, zero-terminated. */

export function int8(value: number): Buffer {
  return Buffer.from([value]);
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}

/** Reads what `bytes` holds from its start on. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int8(): number {
    return this.#bytes.readUInt8(this.#forward(1));
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#forward(2));
  }

  int32(): number {
    return this.#bytes.readUInt32BE(this.#forward(4));
  }

  int64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#forward(8));
  }

  letter(): string {
    return String.fromCharCode(this.int8());
  }

  string(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    const start = this.#forward(end - this.#at + 1);
    return this.#bytes.toString('utf8', start, end);
  }

  bytes(length: number): Buffer {
    const start = this.#forward(length);
    return Buffer.from(this.#bytes.subarray(start, start + length));
  }

  #forward(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }
}
