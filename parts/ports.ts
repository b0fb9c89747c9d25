import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { permanent } from '../model/errors.ts';

/**
 * The range is below the ports that the kernel uses for outgoing connections (32768 and up on Linux, 49152 on macOS). So no
 * connection can take a server's port while the server is down for a restart.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
const ATTEMPTS = 100;

/** A free TCP port on 127.0.0.1, picked at random so that parallel test runs rarely collide. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await canListen(port)) return port;
  }
  throw permanent(
    'NO_FREE_PORT',
    `none of ${ATTEMPTS} ports tried on 127.0.0.1 between ${FIRST_PORT} and ${LAST_PORT} is free`,
    'Stop some of the servers that listen on this machine.',
  );
}

/** Whether this port of 127.0.0.1 is free. */
export function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** Connects and hangs up. Throws the error of the connection. */
export function checkListens(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}
