import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { readBuffer } from './row-memory.ts';

/** Sockets whose reader takes what it needs before it returns, and so may be lent the buffer that the next read fills. */
const lending = new WeakSet<Duplex>();

/**
 * A socket that reads into this thread's one buffer for all of them, which its listeners are given before another is read. Node's own
 * way allocates 64 KiB for every read; at the rates of COPY the collector would spend as much time on them as everything else in
 * this process together.
 */
export function lendingSocket(): Socket {
  const socket: Socket = new Socket({
    onread: {
      buffer: readBuffer,
      callback: (length, buffer) => {
        const bytes = Buffer.from(buffer.buffer, buffer.byteOffset, length);
        // The client library keeps slices of what it is given, so outside of a COPY it gets a copy.
        socket.emit('data', lending.has(socket) ? bytes : Buffer.from(bytes));
        return true;
      },
    },
  });
  return socket;
}

/** Whether the reader of `stream` uses what it is given at once. Without effect on sockets of another kind (TLS). */
export function setLending(stream: Duplex, lends: boolean): void {
  if (lends) lending.add(stream);
  else lending.delete(stream);
}
