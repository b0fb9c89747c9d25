import { createServer, type Server } from 'node:http';
import { DefaultLogger, type NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createActivities, type HostedActivities } from '../activities/index.ts';
import type { NodeSettings } from '../engines/universe/agent/node-agent.ts';
import { workerIdentity } from '../engines/worker-identity.ts';
import { messageOf, permanent } from '../model/errors.ts';
import { identityOfWorker, nodeQueue, pruneQueue, readPointQueue } from '../model/task-queue.ts';
import { archiveQueue } from '../workflows/archive-messages.ts';
import { type ProvenNode, proveNodes } from './agents.ts';
import { workflowBundle } from './bundle.ts';
import { connectClient, connectWorker } from './connection.ts';
import { boundGarbage, collectWhenIdle } from './garbage.ts';
import { freeLocalAddress, serveMetrics } from './metrics-server.ts';
import { PlanMetrics, type PlanSources } from './plan-metrics.ts';
import { planSources } from './plan-sources.ts';
import { registerSearchAttributes } from './search-attributes.ts';
import { configuredSigningKey, workerSigning } from './signing.ts';
import { tracedActivities, tracedBundle, traceSinks } from './traced-work.ts';
import { startTracing, type Tracing } from './tracing.ts';

/**
 * How many chunks one process moves at once. This bounds the worker's memory, since each slot holds at most one compressed chunk. A plan with a
 * higher `parallelism` is spread over several workers.
 */
const DEFAULT_SLOTS = 8;

/** A held read point is an idle session, so thousands cost little. None must ever wait for a slot. */
const READ_POINT_SLOTS = 1_000;

const PRUNES_AT_ONCE = 4;

/** Each holds a stream and up to three segments in memory. */
const ARCHIVES_AT_ONCE = 50;

/** How often heartbeats are sent. They carry progress and cancellation. */
const HEARTBEAT_EVERY = '2s';

/** How long slots may take to finish their chunks after SIGTERM. After that they are cancelled, and other workers go on. */
const SHUTDOWN_GRACE = '10s';

/**
 * A worker that has not ended after this time exits, so that its supervisor starts another. Otherwise, after an error in the SDK itself, the
 * stopped worker would wait for ever for the run with that error, and nothing would poll.
 */
const SHUTDOWN_AT_MOST = '45s';

/** How long workflow code may take for one step, by the wall clock. The SDK's limit of 5 s interrupts steps on a machine that is short of CPU. */
const STEP_AT_MOST = '30s';

/**
 * Kinds of work that a process may do alone (`holdfast worker --only`). `lanes` moves rows; elsewhere a lane is called a slot. The name stays here
 * and in `--lanes`, since deployments use both.
 */
export type WorkKind = 'lanes' | 'read-points' | 'prune' | 'archive';

/** Which build of which deployment a worker is, as Temporal's worker versioning names them. */
export interface WorkerBuild {
  readonly deployment: string;
  readonly buildId: string;
}

/** What a worker process hosts, and where it reports. */
export interface WorkerOptions {
  readonly address?: string;
  readonly slots?: number;
  /** `host:port` to serve Prometheus metrics on. */
  readonly metricsAddress?: string;
  /** How often metrics read the plans' repositories. Default 5 minutes. */
  readonly metricsIntervalMs?: number;
  /** Port on 127.0.0.1 for `/healthz`. */
  readonly healthPort?: number;
  /**
   * Absent: all kinds of work. `read-points` keeps PostgreSQL's snapshots alive apart from the heavy slots, `archive` streams changes, `prune`
   * alone has the credentials that may delete.
   */
  readonly only?: WorkKind;
  /** Tablet servers for which this process is the agent. If there are any, it hosts nothing else. */
  readonly nodes?: readonly NodeSettings[];
  /**
   * The worker takes only work of this build: runs that began on it, and new ones while it is the deployment's current build. Absent: it takes
   * whatever is sent to its task queues. Agents have none, since they serve runs of every build.
   */
  readonly build?: WorkerBuild;
  readonly onReady?: () => void;
}

/**
 * An agent accepts every task at once, so that a busy agent can be told from one that is gone. Its own limiters (`limits` in the plan) decide how
 * many it works on.
 */
const AGENT_SLOTS = 200;

/** Hosts workflows and activities until SIGINT or SIGTERM; returns after a graceful shutdown, rejects on a fatal error. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  boundGarbage();
  collectWhenIdle();
  let workers: readonly Worker[] = [];
  // Before anything polls: if the port is taken, no polling worker must be left behind.
  const health =
    options.healthPort === undefined ? undefined : await serveHealth(() => workers, options.healthPort);
  const nodes = options.nodes === undefined ? undefined : await proveNodes(options.nodes);
  const temporalMetrics = options.metricsAddress === undefined ? undefined : await freeLocalAddress();
  Runtime.install({
    logger: new DefaultLogger('WARN'),
    telemetryOptions: {
      logging: { forward: {}, filter: { core: 'WARN', other: 'ERROR' } },
      ...(temporalMetrics === undefined
        ? {}
        : {
            metrics: {
              prometheus: {
                bindAddress: temporalMetrics,
                countersTotalSuffix: true,
                unitSuffix: true,
                useSecondsForDurations: true,
              },
            },
          }),
    },
  });
  const { client, connection: clientConnection, target } = await connectClient(options.address);
  await registerSearchAttributes(clientConnection, target.namespace);
  const { connection } = await connectWorker(options.address);
  const tracing = await startTracing((sentence) => process.stderr.write(`${sentence}\n`));
  const activities = createActivities(client);
  workers =
    nodes === undefined
      ? await createWorkers(connection, target, activities, options, tracing)
      : await createAgents(connection, target.namespace, activities, nodes, tracing);
  const metrics =
    options.metricsAddress === undefined || temporalMetrics === undefined
      ? undefined
      : await measurePlans(options.metricsAddress, temporalMetrics, planSources(client, activities), options);
  try {
    const running = workers.map((worker) => worker.run());
    options.onReady?.();
    await Promise.all(running);
  } finally {
    metrics?.close();
    health?.close();
    await activities.close();
    await tracing?.close();
    await connection.close();
    await clientConnection.close();
  }
}

const METRICS_EVERY_MS = 5 * 60_000;

/** Serves metrics, and reads the plans' repositories at intervals, one round at a time. */
async function measurePlans(
  address: string,
  temporalAddress: string,
  sources: PlanSources,
  { metricsIntervalMs = METRICS_EVERY_MS, nodes, only }: WorkerOptions,
): Promise<{ close(): void }> {
  const plans = new PlanMetrics(sources, (problem) => process.stderr.write(`${problem}\n`));
  const server = await serveMetrics(address, temporalAddress, () => plans.render(Date.now()));
  // Only a worker that has the plans' secrets can read their repositories. Agents and holders of read points don't have them.
  if (nodes !== undefined || (only !== undefined && only !== 'lanes')) return server;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const look = async () => {
    await plans.refresh();
    if (!isClosed) timer = setTimeout(look, metricsIntervalMs).unref();
  };
  void look();
  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
      server.close();
      server.closeAllConnections();
    },
  };
}

async function createWorkers(
  connection: NativeConnection,
  target: { readonly namespace: string; readonly taskQueue: string },
  { activities }: HostedActivities,
  options: WorkerOptions,
  tracing: Tracing | undefined,
): Promise<Worker[]> {
  const common = { ...commonOptions(connection, target.namespace, tracing), ...versioningOf(options.build) };
  const workers: Worker[] = [];
  const hosts = (kind: WorkKind) => options.only === undefined || options.only === kind;
  if (hosts('lanes')) {
    const bundle = await workflowBundle(options.build === undefined ? 'index' : 'versioned');
    workers.push(
      await Worker.create({
        ...common,
        taskQueue: target.taskQueue,
        workflowBundle: tracing === undefined ? bundle : await tracedBundle(bundle),
        ...(tracing === undefined ? {} : { sinks: traceSinks(tracing) }),
        activities,
        maxCachedWorkflows: 100,
        maxConcurrentActivityTaskExecutions: options.slots ?? DEFAULT_SLOTS,
      }),
    );
  }
  if (hosts('prune')) {
    const { markBackups, deleteBackups, sweepOrphans, endPrune, check } = activities;
    workers.push(
      await Worker.create({
        ...common,
        taskQueue: pruneQueue(target.taskQueue),
        activities: { markBackups, deleteBackups, sweepOrphans, endPrune, check },
        maxConcurrentActivityTaskExecutions: PRUNES_AT_ONCE,
      }),
    );
  }
  if (hosts('archive')) {
    const { archiveDatabases, openArchive, streamArchive, closeArchive, check } = activities;
    workers.push(
      await Worker.create({
        ...common,
        // Another worker can't take over a stream. So it ends at once, and another worker goes on where storage ends.
        shutdownGraceTime: 0,
        taskQueue: archiveQueue(target.taskQueue),
        activities: { archiveDatabases, openArchive, streamArchive, closeArchive, check },
        maxConcurrentActivityTaskExecutions: ARCHIVES_AT_ONCE,
      }),
    );
  }
  if (hosts('read-points')) {
    workers.push(
      await Worker.create({
        ...common,
        // Another worker can't take over a snapshot. So it is released at once, and the next epoch opens on another worker.
        shutdownGraceTime: 0,
        taskQueue: readPointQueue(target.taskQueue),
        activities: { snapshot: activities.snapshot, check: activities.check },
        maxConcurrentActivityTaskExecutions: READ_POINT_SLOTS,
      }),
    );
  }
  return workers;
}

function createAgents(
  connection: NativeConnection,
  namespace: string,
  { ofNode }: HostedActivities,
  nodes: readonly ProvenNode[],
  tracing: Tracing | undefined,
): Promise<Worker[]> {
  return Promise.all(
    nodes.map(({ settings, identity }) =>
      Worker.create({
        ...commonOptions(connection, namespace, tracing),
        identity,
        taskQueue: nodeQueue(settings.address),
        activities: ofNode(settings),
        maxConcurrentActivityTaskExecutions: AGENT_SLOTS,
        // A namespace allows 1,200 polls at once for each frontend of Temporal, by default.
        maxConcurrentActivityTaskPolls: 2,
      }),
    ),
  );
}

/** Every queue of a worker belongs to its build, so that what a run begins there (a snapshot, a prune) is done by the same build. */
function versioningOf(build: WorkerBuild | undefined) {
  if (build === undefined) return {};
  return {
    workerDeploymentOptions: {
      useWorkerVersioning: true,
      version: { deploymentName: build.deployment, buildId: build.buildId },
      defaultVersioningBehavior: 'PINNED',
    },
  } as const;
}

function commonOptions(connection: NativeConnection, namespace: string, tracing: Tracing | undefined) {
  const worker = workerIdentity();
  const { interceptors, ...signing } = workerSigning(configuredSigningKey());
  const traced = tracing === undefined ? [] : [tracedActivities(tracing)];
  return {
    connection,
    namespace,
    ...signing,
    interceptors: { activity: [...(interceptors?.activity ?? []), ...traced] },
    identity: identityOfWorker(worker.identity, worker.version),
    maxHeartbeatThrottleInterval: HEARTBEAT_EVERY,
    defaultHeartbeatThrottleInterval: HEARTBEAT_EVERY,
    shutdownGraceTime: SHUTDOWN_GRACE,
    shutdownForceTime: SHUTDOWN_AT_MOST,
    isolateExecutionTimeout: STEP_AT_MOST,
  };
}

/** Answers 200 while every worker polls, else 503. The body gives the state of each. Throws `HEALTH_PORT`. */
async function serveHealth(workers: () => readonly Worker[], port: number): Promise<Server> {
  const server = createServer((_request, response) => {
    const states = workers().map((worker) => ({ queue: worker.options.taskQueue, state: worker.getState() }));
    const healthy = states.length > 0 && states.every(({ state }) => state === 'RUNNING');
    response.writeHead(healthy ? 200 : 503, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ healthy, workers: states }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        permanent(
          'HEALTH_PORT',
          `health can't be served on 127.0.0.1:${port} (${messageOf(error)})`,
          'Choose another --health PORT, or stop what listens there.',
          error,
        ),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}
