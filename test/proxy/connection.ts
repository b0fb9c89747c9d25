import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { messageOf } from '../../model/errors.ts';
import type { ClientLine } from './client-lines.ts';
import type { Faults } from './faults.ts';
import { installDialect } from './install.ts';
import type { Place } from './nodes.ts';
import { installReplication } from './replication/install.ts';
import type { Slots } from './replication/slots.ts';
import { Walsender, wantsReplication } from './replication/walsender.ts';
import { Session } from './session.ts';
import type { SnapshotKeeper } from './snapshots.ts';
import { SocketReader, send } from './sockets.ts';
import { databaseOf, type Opening, parseOpening } from './startup.ts';
import { superuser } from './superuser.ts';

export interface Upstream {
  /** A superuser's URL of any database of the cluster. */
  readonly url: string;
  readonly keeper: SnapshotKeeper;
  readonly place: Place;
  readonly faults: Faults;
  readonly exportSnapshot: boolean;
  /** The release line that it pretends to be. */
  readonly line: ClientLine;
  readonly slots: Slots;
  /** Whether the server behind can play slots (`wal_level = logical` and `track_commit_timestamp = on`), and the line has them. */
  readonly replicates: boolean;
  /** Collects the statements whose index YSQL would build without backfill. */
  readonly nonconcurrent: string[];
}

/** Serves one client until the client or the upstream is gone. Rejects when the upstream can't be reached or is lost meanwhile. */
export async function serveClient(client: Socket, upstream: Upstream): Promise<void> {
  const reader = new SocketReader(client);
  const opening = await readOpening(client, reader);
  if (opening === undefined) return;
  const server = await connectUpstream(upstream.url);
  client.once('close', () => server.destroy());
  if (opening.kind === 'cancel') {
    server.end(opening.packet);
    // The upstream closes the connection once it has signalled the session; the client waits for that.
    await finished(server.resume());
    client.end();
    return;
  }
  try {
    const { parameters } = opening;
    await installIn(upstream, databaseOf(parameters));
    if (wantsReplication(parameters)) await new Walsender(client, server, upstream, parameters).run(reader);
    else await new Session(client, server, upstream, parameters).run(reader);
  } finally {
    server.destroy();
  }
}

type RealOpening = Exclude<Opening, { kind: 'encryption' }>;

async function readOpening(client: Socket, reader: SocketReader): Promise<RealOpening | undefined> {
  for (let packet = await reader.packet(); packet !== undefined; packet = await reader.packet()) {
    const opening = parseOpening(packet);
    if (opening.kind !== 'encryption') return opening;
    await send(client, Buffer.from('N'));
  }
  return undefined;
}

async function connectUpstream(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const server = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(server, 'connect');
  // The iteration over the socket ends with the error and handles it; without a listener the error would end the process.
  server.on('error', (error) => process.stderr.write(`upstream: ${error.message}\n`));
  return server;
}

/** Installs the dialect in a database. If it can't, it leaves the answer to the client to the upstream. */
async function installIn({ url, replicates, slots }: Upstream, database: string): Promise<void> {
  const admin = superuser(url, database, 'yugabytedb dialect');
  const lost = (error: Error) => process.stderr.write(`dialect in ${database}: ${error.message}\n`);
  admin.on('error', lost);
  try {
    await admin.connect();
    await installDialect(admin, async () => {
      if (replicates) await installReplication(admin, slots.behaviour);
    });
  } catch (error) {
    process.stderr.write(`no dialect in ${database}: ${messageOf(error)}\n`);
  } finally {
    await admin.end();
  }
}
