import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { permanent } from '../model/errors.ts';
import { type CassandraPrograms, cassandraPrograms } from './cassandra-programs.ts';
import { checkListens, freePort } from './ports.ts';
import { type ServerProcess, startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';

export type CassandraOptions = {
  /** Number of nodes, 1 (about 450 MB) to 3. They listen on 127.0.0.1, 127.0.0.2 … with the same port. Default 1. */
  readonly nodes?: 1 | 2 | 3;
  /** Where the nodes keep their data, which stays after `stop`. Left out: a scratch folder. */
  readonly directory?: string;
  readonly port?: number;
  /** True: clients must log in; the superuser is `cassandra`, and so is its password. Default: no login. */
  readonly authentication?: boolean;
  /** Largest heap of one node, e.g. `1G`. Default 512M. */
  readonly heap?: string;
  /** False: a `kill -9` may lose data, but schema changes and writes take a fraction of the time. Default true. */
  readonly durable?: boolean;
  /**
   * True: the JVM optimises hot code as in production, for benchmarks. Default false, which saves a third of the CPU time of a start (8 s instead of
   * 13 s on two busy cores).
   */
  readonly optimised?: boolean;
  /** Lines of cassandra.yaml that replace those of the template, e.g. `{ tombstone_failure_threshold: '50' }`. */
  readonly settings?: Readonly<Record<string, string>>;
};

/** One node that can be stopped, killed and started again with its data. */
export type CassandraNode = Pick<ServerProcess, 'pid' | 'logFile' | 'stop' | 'kill9' | 'restart'> & {
  readonly address: string;
};

/** A running ring. */
export type CassandraCluster = {
  readonly contactPoints: readonly string[];
  readonly port: number;
  readonly localDataCenter: string;
  readonly nodes: readonly CassandraNode[];
  readonly logFile: string;
  /** Process id of the first node. */
  readonly pid: number | undefined;
  /** Runs `nodetool` against a node (counted from 0) and returns what it prints; takes about a second. */
  nodetool(node: number, ...args: readonly string[]): Promise<string>;
  /** Stops all nodes and removes the scratch folder, if there is one. */
  stop(): Promise<void>;
  /** Stops the nodes that run and starts all of them again with their data. */
  restart(): Promise<void>;
  /** `kill -9` of every node. The data stay, for `restart`. */
  kill9(): Promise<void>;
};

/** The name that `SimpleSnitch` gives to the only data centre. */
const DATA_CENTER = 'datacenter1';
/** A node starts in 5 s on a quiet machine, but takes many times that when everything else runs too. */
const STARTUP_TIMEOUT_MS = 300_000;

/**
 * Starts Apache Cassandra, which stands in for YCQL, and waits until every node takes CQL. The jars are fetched from Maven
 * Central once. A write is on disk before it is answered (`commitlog_sync: batch`). So if an answered write is missing after a
 * `kill -9`, the writer is at fault, not Cassandra.
 *
 * @throws HoldfastError `CASSANDRA_NEEDS_JAVA`, `CASSANDRA_NEEDS_MAVEN`, `TOOL_BUILD` or `SERVER_START`
 */
export async function startCassandra(options: CassandraOptions = {}): Promise<CassandraCluster> {
  const programs = await cassandraPrograms();
  const scratch = options.directory === undefined ? await createScratchFolder('cassandra') : undefined;
  const directory = path.resolve(options.directory ?? scratch?.path ?? '');
  const started: CassandraNode[] = [];
  const stop = async () => {
    await Promise.all(started.map((node) => node.stop()));
    await scratch?.remove();
  };
  try {
    const ring = { port: options.port ?? (await freePort()), storagePort: await freePort() };
    const jmxPorts: number[] = [];
    for (let index = 0; index < (options.nodes ?? 1); index += 1) {
      jmxPorts.push(await freePort());
      // One after another: a node learns the ring from those that are up.
      started.push(
        await startNode(programs, options, { ...ring, directory, index, jmxPort: jmxPorts[index] ?? 0 }),
      );
    }
    const [first] = started;
    if (first === undefined) throw new RangeError('a ring has at least one node');
    return {
      contactPoints: started.map(({ address }) => address),
      port: ring.port,
      localDataCenter: DATA_CENTER,
      nodes: started,
      logFile: first.logFile,
      get pid() {
        return first.pid;
      },
      nodetool: (node, ...args) => nodetool(programs, directory, jmxPorts[node] ?? 0, args),
      stop,
      async restart() {
        for (const node of started) await node.restart();
      },
      async kill9() {
        await Promise.all(started.map((node) => node.kill9()));
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * How long a restarted node waits for an answer of another node before it gives up ("Unable to gossip with any peers"). A busy machine takes more than a second
 * for it.
 */
const RING_DELAY_MS = 10_000;

type Place = {
  readonly directory: string;
  readonly index: number;
  readonly port: number;
  readonly storagePort: number;
  readonly jmxPort: number;
};

async function startNode(
  { java, classPath, agent }: CassandraPrograms,
  options: CassandraOptions,
  place: Place,
): Promise<CassandraNode> {
  const address = addressOf(place.index);
  const folder = path.join(place.directory, `node${place.index + 1}`);
  await mkdir(folder, { recursive: true });
  const configuration = path.join(folder, 'cassandra.yaml');
  const logging = path.join(folder, 'logback.xml');
  await writeFile(configuration, configurationOf(options, place, folder));
  await writeFile(logging, LOGBACK);
  const server = await startServer({
    name: `Cassandra node ${place.index + 1}`,
    command: java,
    args: [
      '-Xms128M',
      `-Xmx${options.heap ?? '512M'}`,
      '-XX:MaxDirectMemorySize=256M',
      '-XX:+UseSerialGC',
      options.optimised === true ? '-XX:CICompilerCount=2' : '-XX:TieredStopAtLevel=1',
      '-Xss384k',
      ...OPEN_MODULES,
      `-javaagent:${agent}`,
      '-Djdk.attach.allowAttachSelf=true',
      '-Dio.netty.tryReflectionSetAccessible=true',
      '-Djava.net.preferIPv4Stack=true',
      `-Djava.io.tmpdir=${folder}`,
      `-Djna.tmpdir=${folder}`,
      ...[`-Dcassandra.config=file://${configuration}`, `-Dlogback.configurationFile=${logging}`],
      `-Dcassandra.storagedir=${folder}`,
      `-Dcassandra.logdir=${folder}`,
      `-Dcassandra.jmx.local.port=${place.jmxPort}`,
      '-Dcom.sun.management.jmxremote=false',
      // Our own ring on one machine needn't wait for gossip to settle.
      '-Dcassandra.skip_wait_for_gossip_to_settle=0',
      `-Dcassandra.ring_delay_ms=${(options.nodes ?? 1) > 1 ? RING_DELAY_MS : 1_000}`,
      '-Dcassandra.superuser_setup_delay_ms=0',
      '-Dcassandra.consistent.rangemovement=false',
      '-Dcassandra.max_local_pause_in_ms=30000',
      '-Dcassandra-foreground=yes',
      ...(options.durable === false ? ['-Dcassandra.unsafesystem=true'] : []),
      '-cp',
      classPath,
      'org.apache.cassandra.service.CassandraDaemon',
    ],
    environment: { MALLOC_ARENA_MAX: '2' },
    variables: ['JAVA_*', 'JDK_*'],
    workingDirectory: folder,
    logFile: path.join(folder, 'system.log'),
    startupTimeoutMs: STARTUP_TIMEOUT_MS,
    checkReady: () => checkListens(address, place.port),
  });
  return Object.assign(Object.create(server), { address });
}

function addressOf(index: number): string {
  return `127.0.0.${index + 1}`;
}

function configurationOf(options: CassandraOptions, place: Place, folder: string): string {
  const authentication = options.authentication === true;
  const settings: Readonly<Record<string, string>> = {
    ...SETTINGS,
    ...(options.durable === false ? { commitlog_sync: 'periodic', commitlog_sync_period: '10000ms' } : {}),
    authenticator: authentication ? 'PasswordAuthenticator' : 'AllowAllAuthenticator',
    authorizer: authentication ? 'CassandraAuthorizer' : 'AllowAllAuthorizer',
    listen_address: addressOf(place.index),
    rpc_address: addressOf(place.index),
    storage_port: String(place.storagePort),
    native_transport_port: String(place.port),
    data_file_directories: `[ "${folder}/data" ]`,
    commitlog_directory: `"${folder}/commitlog"`,
    saved_caches_directory: `"${folder}/saved_caches"`,
    hints_directory: `"${folder}/hints"`,
    cdc_raw_directory: `"${folder}/cdc_raw"`,
    ...options.settings,
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n')}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [ { seeds: "${addressOf(0)}:${place.storagePort}" } ]
`;
}

/** Settings for little memory, with long timeouts for a machine on which everything else runs too. */
const SETTINGS: Readonly<Record<string, string>> = {
  cluster_name: 'holdfast-test',
  partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
  num_tokens: '4',
  auto_bootstrap: 'false',
  storage_compatibility_mode: 'NONE',
  endpoint_snitch: 'SimpleSnitch',
  dynamic_snitch: 'false',
  commitlog_sync: 'batch',
  commitlog_segment_size: '16MiB',
  commitlog_total_space: '256MiB',
  commitlog_disk_access_mode: 'legacy',
  disk_access_mode: 'standard',
  memtable_heap_space: '96MiB',
  memtable_offheap_space: '96MiB',
  memtable_allocation_type: 'offheap_objects',
  file_cache_size: '64MiB',
  networking_cache_size: '32MiB',
  key_cache_size: '16MiB',
  counter_cache_size: '8MiB',
  concurrent_reads: '8',
  concurrent_writes: '8',
  concurrent_counter_writes: '8',
  concurrent_compactors: '1',
  auto_snapshot: 'false',
  hinted_handoff_enabled: 'true',
  read_request_timeout: '20000ms',
  range_request_timeout: '30000ms',
  write_request_timeout: '20000ms',
  counter_write_request_timeout: '20000ms',
  truncate_request_timeout: '60000ms',
  request_timeout: '30000ms',
  role_manager: 'CassandraRoleManager',
  user_defined_functions_enabled: 'true',
  materialized_views_enabled: 'true',
};

const LOGBACK = `<configuration>
  <appender name="log" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <logger name="org.apache.cassandra.cql3.statements.BatchStatement" level="ERROR"/>
  <root level="INFO"><appender-ref ref="log"/></root>
</configuration>
`;

/** The JDK's packages that Cassandra's own `jvm17-server.options` opens. */
const OPEN_MODULES: readonly string[] = [
  ...[
    'java.base/jdk.internal.misc',
    'java.management.rmi/com.sun.jmx.remote.internal.rmi',
    'java.rmi/sun.rmi.registry',
    'java.rmi/sun.rmi.server',
    'java.sql/java.sql',
    'java.base/java.lang.ref',
    'jdk.unsupported/sun.misc',
    'jdk.compiler/com.sun.tools.javac.file',
    'jdk.attach/sun.tools.attach',
  ].flatMap((module) => ['--add-exports', `${module}=ALL-UNNAMED`]),
  ...[
    'java.base/java.lang.module',
    'java.base/jdk.internal.loader',
    'java.base/jdk.internal.ref',
    'java.base/jdk.internal.reflect',
    'java.base/jdk.internal.math',
    'java.base/jdk.internal.module',
    'java.base/jdk.internal.util.jar',
    'jdk.management/com.sun.management.internal',
    'java.base/sun.nio.ch',
    'java.base/java.io',
    'java.base/java.nio',
    'java.base/java.lang.reflect',
    'jdk.compiler/com.sun.tools.javac',
    'java.base/java.lang',
    'java.base/java.util',
    'java.base/java.util.concurrent',
    'java.base/java.util.concurrent.atomic',
    'java.base/java.net',
  ].flatMap((module) => ['--add-opens', `${module}=ALL-UNNAMED`]),
];

async function nodetool(
  { java, classPath }: CassandraPrograms,
  directory: string,
  jmxPort: number,
  args: readonly string[],
): Promise<string> {
  const folder = path.join(directory, 'nodetool');
  await mkdir(folder, { recursive: true });
  const logging = path.join(folder, 'logback.xml');
  await writeFile(logging, LOGBACK.replace('"INFO"', '"OFF"'));
  try {
    const { stdout } = await promisify(execFile)(java, [
      '-Xmx96M',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      ...OPEN_MODULES,
      `-Dlogback.configurationFile=${logging}`,
      `-Dcassandra.storagedir=${folder}`,
      '-cp',
      classPath,
      'org.apache.cassandra.tools.NodeTool',
      '-h',
      '127.0.0.1',
      '-p',
      String(jmxPort),
      ...args,
    ]);
    return stdout;
  } catch (error) {
    throw permanent(
      'NODETOOL',
      `nodetool ${args.join(' ')} failed: ${error instanceof Error ? error.message : String(error)}`,
      'See the log of the node.',
      error,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The end of a node's log, for a report of a failed test. */
export async function endOfLog(node: Pick<CassandraNode, 'logFile'>, lines = 30): Promise<string> {
  return (await readFile(node.logFile, 'utf8')).trimEnd().split('\n').slice(-lines).join('\n');
}
