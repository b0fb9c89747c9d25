import { existsSync } from 'node:fs';
import path from 'node:path';
import { Connection } from '@temporalio/client';
import { checkListens, freePort } from './ports.ts';
import { openPrivateFile } from './private-file.ts';
import { startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';
import { executableOf, TEMPORAL } from './tools.ts';

type TemporalOptions = {
  /** SQLite file with the server's state; it stays after `stop`. Default: one in a scratch folder. */
  readonly dbFile?: string;
  /** Default: beside `dbFile`. */
  readonly logFile?: string;
  readonly port?: number;
  readonly uiPort?: number;
  /** True: no web UI. Default false. */
  readonly headless?: boolean;
  /** More arguments of `temporal server start-dev`. */
  readonly extraArgs?: readonly string[];
  /** `detached`: the server continues after this process has ended. Default `parent`. */
  readonly lifetime?: 'parent' | 'detached';
};

/** A Temporal server that can be stopped, killed and started again with its state. */
export type TemporalServer = {
  /** `host:port` of the gRPC service. */
  readonly address: string;
  /** URL of the web UI; undefined when headless. */
  readonly uiAddress: string | undefined;
  readonly logFile: string;
  readonly pid: number | undefined;
  /** Stops the server and removes its scratch folder, if it has one. */
  stop(): Promise<void>;
  /** Stops the server if it runs, and starts it with the same ports and state. */
  restart(): Promise<void>;
  /** `kill -9`. The state stays, for `restart`. */
  kill9(): Promise<void>;
};

/**
 * Starts Temporal's development server on 127.0.0.1, with its state in a file, and waits until the namespace `default`
 * answers.
 *
 * @throws HoldfastError `TOOL_NEEDS_GO`, `TOOL_BUILD` or `SERVER_START`
 */
export async function startTemporal(options: TemporalOptions = {}): Promise<TemporalServer> {
  const command = await executableOf(TEMPORAL);
  const scratch = options.dbFile === undefined ? await createScratchFolder('temporal') : undefined;
  try {
    const dbFile = path.resolve(options.dbFile ?? path.join(scratch?.path ?? '', 'temporal.db'));
    // Closes an existing file to others, since it holds plans and histories. A missing file must not be created here: the server
    // would look for tables in it instead of creating them.
    if (existsSync(dbFile)) await (await openPrivateFile(dbFile)).close();
    const host = '127.0.0.1';
    const port = options.port ?? (await freePort());
    const uiPort = options.headless ? undefined : (options.uiPort ?? (await freePort()));
    const address = `${host}:${port}`;
    const server = await startServer({
      name: 'Temporal',
      // Its files hold plans and histories, so only this user may read them.
      command: '/bin/sh',
      args: [
        '-c',
        'umask 077 && exec "$@"',
        'sh',
        command,
        'server',
        'start-dev',
        '--ip',
        host,
        '--port',
        String(port),
        '--db-filename',
        dbFile,
        ...(uiPort === undefined ? ['--headless'] : ['--ui-port', String(uiPort)]),
        // By default it creates, syncs and deletes a journal file per transaction: a third of its CPU time (measured).
        '--sqlite-pragma',
        'journal_mode=WAL',
        ...(options.lifetime === 'detached' ? [] : WITHOUT_SYNC),
        // By default it divides each task queue into four partitions, for clusters. On one node tasks and polls then travel
        // between the partitions.
        '--dynamic-config-value',
        'matching.numTaskqueueReadPartitions=1',
        '--dynamic-config-value',
        'matching.numTaskqueueWritePartitions=1',
        // Without it this version orders no tasks by priority.
        '--dynamic-config-value',
        'matching.useNewMatcher=true',
        ...WITHOUT_HTTP,
        '--log-level',
        'warn',
        ...(options.extraArgs ?? []),
      ],
      logFile: options.logFile ?? path.join(path.dirname(dbFile), 'temporal.log'),
      checkReady: async () => {
        // gRPC waits a second after a refused connection before it tries again.
        await checkListens(host, port);
        await checkServes(address);
      },
      environment: options.lifetime === 'detached' ? {} : WITH_GARBAGE,
      isPrivate: true,
      lifetime: options.lifetime ?? 'parent',
    });
    return {
      address,
      uiAddress: uiPort === undefined ? undefined : `http://${host}:${uiPort}`,
      logFile: server.logFile,
      get pid() {
        return server.pid;
      },
      async stop() {
        await server.stop();
        await scratch?.remove();
      },
      restart: () => server.restart(),
      kill9: () => server.kill9(),
    };
  } catch (error) {
    await scratch?.remove();
    throw error;
  }
}

/** What it answered survives its own `kill -9`, but not a crash of the machine: enough for a server that ends with the process that started it. */
const WITHOUT_SYNC: readonly string[] = ['--sqlite-pragma', 'synchronous=OFF'];

/** Go collects when half of the heap is garbage. With four fifths it takes an eighth less CPU time (measured), and more memory than an embedded server should. */
const WITH_GARBAGE: Readonly<Record<string, string>> = { GOGC: '400' };

/**
 * The server opens an HTTP API on a port that it chooses, and `--http-port` can't turn it off. A web page of another site could send requests to
 * it, since they need no special header. So this allows only a host name with a space in it, which no request has
 * (service/frontend/http_api_server.go of Temporal 1.29.1: `allowedHostsMiddleware`). Nexus is turned off because its routes bypass that check.
 */
const WITHOUT_HTTP: readonly string[] = [
  '--dynamic-config-value',
  'frontend.httpAllowedHosts=["no host"]',
  '--dynamic-config-value',
  'system.enableNexus=false',
];

async function checkServes(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '2s' });
  try {
    await connection.workflowService.describeNamespace({ namespace: 'default' });
  } finally {
    await connection.close();
  }
}
