import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { readBuffer } from './row-memory.ts';

/** Sockets whose reader uses the data before it returns, so that they may share the buffer that the next read fills. */
const lending = new WeakSet<Duplex>();

/**
 * Creates a socket that reads into one buffer, shared by all such sockets of this thread; its listeners get the data before the next
 * read. Node's default allocates 64 KiB for every read. At the rates of COPY the garbage collector would then need as much time as
 * everything else in this process together.
 */
export function lendingSocket(): Socket {
  const socket: Socket = new Socket({
    onread: {
      buffer: readBuffer,
      callback: (length, buffer) => {
        const bytes = Buffer.from(buffer.buffer, buffer.byteOffset, length);
        // The client library keeps slices of the data, so outside of a COPY it gets a copy.
        socket.emit('data', lending.has(socket) ? bytes : Buffer.from(bytes));
        return true;
      },
    },
  });
  return socket;
}

/** Sets whether the reader of `stream` uses the data before it returns. Has no effect on other kinds of sockets (TLS). */
export function setLending(stream: Duplex, lends: boolean): void {
  if (lends) lending.add(stream);
  else lending.delete(stream);
}
