/** Frames of the CQL protocol, version 4: 9 bytes of head, then the body. */

export const OPCODE = {
  error: 0x00,
  query: 0x07,
  result: 0x08,
  prepare: 0x09,
  execute: 0x0a,
  batch: 0x0d,
} as const;
export const RESULT_KIND = { rows: 2, prepared: 4, schemaChange: 5 } as const;
const HEAD_BYTES = 9;

export interface Frame {
  readonly version: number;
  readonly flags: number;
  readonly stream: number;
  readonly opcode: number;
  readonly body: Buffer;
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are whole now. */
  *take(bytes: Buffer): Generator<Frame> {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (;;) {
      if (this.#rest.length < HEAD_BYTES) return;
      const end = HEAD_BYTES + this.#rest.readUInt32BE(5);
      if (this.#rest.length < end) return;
      const head = this.#rest;
      yield {
        version: head[0] ?? 0,
        flags: head[1] ?? 0,
        stream: head.readInt16BE(2),
        opcode: head[4] ?? 0,
        body: head.subarray(HEAD_BYTES, end),
      };
      this.#rest = this.#rest.subarray(end);
    }
  }
}

export function encodeFrame({ version, flags, stream, opcode, body }: Frame): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = version;
  head[1] = flags;
  head.writeInt16BE(stream, 2);
  head[4] = opcode;
  head.writeUInt32BE(body.length, 5);
  return Buffer.concat([head, body]);
}

/** Reads the notations of the protocol one after another. */
export class BodyReader {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  int(): number {
    this.at += 4;
    return this.bytes.readInt32BE(this.at - 4);
  }

  short(): number {
    this.at += 2;
    return this.bytes.readUInt16BE(this.at - 2);
  }

  byte(): number {
    this.at += 1;
    return this.bytes[this.at - 1] ?? 0;
  }

  string(): string {
    return this.shortBytes().toString();
  }

  shortBytes(): Buffer {
    const length = this.short();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  longString(): string {
    return this.value()?.toString() ?? '';
  }

  /** Null for any negative length; `length` tells which. */
  value(): Buffer | null {
    const length = this.int();
    if (length < 0) return null;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  rest(): Buffer {
    return this.bytes.subarray(this.at);
  }

  /** Skips an `[option]`: a type. */
  skipType(): void {
    const code = this.short();
    if (code === 0x00) this.string();
    else if (code === 0x20 || code === 0x22) this.skipType();
    else if (code === 0x21) {
      this.skipType();
      this.skipType();
    } else if (code === 0x30) {
      this.string();
      this.string();
      for (let left = this.short(); left > 0; left -= 1) {
        this.string();
        this.skipType();
      }
    } else if (code === 0x31) {
      for (let left = this.short(); left > 0; left -= 1) this.skipType();
    }
  }
}

export function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

export function short(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function value(bytes: Buffer | null): Buffer {
  return bytes === null ? int(-1) : Buffer.concat([int(bytes.length), bytes]);
}

export function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([short(bytes.length), bytes]);
}

/** One column of the metadata of rows. */
export interface ColumnSpec {
  readonly keyspace: string;
  readonly table: string;
  readonly name: string;
  /** The `[option]` of its type, as it stands on the wire. */
  readonly type: Buffer;
}

/** An answer with rows, taken apart. */
export interface RowsResult {
  readonly pagingState: Buffer | null;
  readonly columns: readonly ColumnSpec[];
  readonly rows: readonly (readonly (Buffer | null)[])[];
}

const GLOBAL_SPEC = 0x01;
const MORE_PAGES = 0x02;
const NO_METADATA = 0x04;

export function decodeRows(body: Buffer): RowsResult {
  const reader = new BodyReader(body, 4);
  const flags = reader.int();
  const count = reader.int();
  const pagingState = (flags & MORE_PAGES) === 0 ? null : reader.value();
  if ((flags & NO_METADATA) !== 0) throw new Error('an answer without metadata');
  const columns = readSpecs(reader, flags, count);
  const rows = Array.from({ length: reader.int() }, () => columns.map(() => reader.value()));
  return { pagingState, columns, rows };
}

function readSpecs(reader: BodyReader, flags: number, count: number): readonly ColumnSpec[] {
  const global =
    (flags & GLOBAL_SPEC) === 0 ? undefined : { keyspace: reader.string(), table: reader.string() };
  return Array.from({ length: count }, () => {
    const place = global ?? { keyspace: reader.string(), table: reader.string() };
    const name = reader.string();
    const start = reader.at;
    reader.skipType();
    return { ...place, name, type: reader.bytes.subarray(start, reader.at) };
  });
}

export function encodeRows({ pagingState, columns, rows }: RowsResult): Buffer {
  return Buffer.concat([
    int(RESULT_KIND.rows),
    int(pagingState === null ? 0 : MORE_PAGES),
    int(columns.length),
    ...(pagingState === null ? [] : [value(pagingState)]),
    ...columns.flatMap(({ keyspace, table, name, type }) => [
      string(keyspace),
      string(table),
      string(name),
      type,
    ]),
    int(rows.length),
    ...rows.flatMap((row) => row.map(value)),
  ]);
}

export function encodeError(code: number, message: string): Buffer {
  return Buffer.concat([int(code), string(message)]);
}
