import type { Socket } from 'node:net';

/** Reads a client's bytes: first packets without a type, then everything after them. */
export class SocketReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#chunks = socket.iterator({ destroyOnReturn: false });
  }

  /** Returns a packet that starts with its length; undefined when the client is gone. */
  async packet(): Promise<Buffer | undefined> {
    while (this.#rest.length < 4 || this.#rest.length < this.#rest.readInt32BE(0)) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      this.#rest = Buffer.concat([this.#rest, next.value]);
    }
    const length = this.#rest.readInt32BE(0);
    const packet = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return packet;
  }

  /** Everything after the packets read. */
  async *chunks(): AsyncGenerator<Buffer> {
    if (this.#rest.length > 0) yield this.#rest;
    for (let next = await this.#chunks.next(); next.done !== true; next = await this.#chunks.next()) {
      yield next.value;
    }
  }
}

/** Sends bytes and waits while the socket's buffer is full, which bounds the data in flight. Also returns when the socket is gone. */
export async function send(socket: Socket, bytes: Buffer): Promise<void> {
  if (bytes.length === 0 || socket.destroyed || socket.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}
