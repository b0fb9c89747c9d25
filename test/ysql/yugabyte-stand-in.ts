import { join } from 'node:path';
import type { PostgresVersion } from '../../parts/postgres.ts';
import { FETCHED_POSTGRES_RUNS_HERE } from '../../parts/postgres-versions.ts';
import { createScratchFolder } from '../../parts/scratch.ts';
import { CLIENT_LINES, type ClientLineName } from '../proxy/client-lines.ts';
import { startYsqlProxy } from '../proxy/proxy.ts';
import { type ReplicationSettings, UPSTREAM_SETTINGS } from '../proxy/replication/settings.ts';
import type { Slots } from '../proxy/replication/slots.ts';
import { writeYsqlTools } from '../proxy/tools.ts';
import { startServer, type TestServer } from './harness.ts';

/** A PostgreSQL that passes for YugabyteDB of a line, with the programs of that line installed beside it. */
export interface YugabyteStandIn {
  readonly line: ClientLineName;
  readonly version: PostgresVersion;
  /** PostgreSQL itself, past the proxy. */
  readonly server: TestServer;
  /** Through the proxy. */
  url(database: string): string;
  /** For `HOLDFAST_YB_BIN`, which is set to it as long as the stand-in runs. */
  readonly programs: string;
  /** CREATE INDEX that YSQL would build without backfill. */
  readonly nonconcurrent: readonly string[];
  /** Its replication slots, where it was started with `replication`. */
  readonly slots: Slots;
  stop(): Promise<void>;
}

/** One line made from PostgreSQL 11, where this machine has one, and one from 15. */
export const TESTED_LINES: readonly ClientLineName[] = FETCHED_POSTGRES_RUNS_HERE
  ? ['2024.2', '2025.2']
  : ['2025.2'];

export async function startYugabyteStandIn(
  line: ClientLineName,
  at: {
    readonly host?: string;
    readonly port?: number;
    /** Flags of logical replication; the server can't play slots without. */
    readonly replication?: Partial<ReplicationSettings>;
  } = {},
): Promise<YugabyteStandIn> {
  const version = CLIENT_LINES[line].major;
  const server = await startServer(version, at.replication === undefined ? {} : UPSTREAM_SETTINGS);
  const proxy = await startYsqlProxy({ upstreamUrl: server.url(), line, ...at });
  const scratch = await createScratchFolder('ysql-tools');
  const programs = await writeYsqlTools(join(scratch.path, 'yugabyte'), server.binDirectory, line);
  const before = process.env.HOLDFAST_YB_BIN;
  process.env.HOLDFAST_YB_BIN = programs;
  return {
    ...{ line, version, server, programs, nonconcurrent: proxy.nonconcurrent, slots: proxy.slots },
    url(database) {
      const url = new URL(server.url(database));
      url.hostname = at.host ?? '127.0.0.1';
      url.port = String(proxy.port);
      return url.href;
    },
    async stop() {
      if (before === undefined) delete process.env.HOLDFAST_YB_BIN;
      else process.env.HOLDFAST_YB_BIN = before;
      await proxy.stop();
      await server.stop();
      await scratch.remove();
    },
  };
}
