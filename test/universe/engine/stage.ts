import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from '../../../parts/ports.ts';
import { type ServerProcess, startServer } from '../../../parts/process.ts';
import { type S3Gateway, startS3Gateway } from '../../../parts/s3.ts';
import { createScratchFolder } from '../../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../../parts/temporal.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { S3Store } from '../../../repository/s3/store.ts';
import type { Store } from '../../../repository/store.ts';
import { type CommandEnd, holdfast, holdfastJson } from '../../support/holdfast.ts';
import { startUniverse, type Universe, type UniverseOptions } from '../launcher.ts';

/** A universe with everything that backs it up: Temporal, a worker, and an agent process for each tablet server. */
export interface Stage {
  readonly universe: Universe;
  readonly temporal: TemporalServer;
  readonly worker: ServerProcess;
  /** In the order of `universe.tservers`. */
  readonly agents: readonly ServerProcess[];
  /** Holds the repository, if the stage was asked for one; else the repository is a directory. */
  readonly gateway: S3Gateway | undefined;
  readonly folder: string;
  readonly planFile: string;
  readonly environment: Readonly<Record<string, string>>;
  store(): Store;
  /** Another plan of the same repository, with only these databases and keyspaces. Returns its file. */
  planOf(name: string, databases: readonly string[], keyspaces: readonly string[]): Promise<string>;
  run(...args: readonly string[]): Promise<CommandEnd>;
  json<T>(...args: readonly string[]): Promise<T>;
  stop(): Promise<void>;
}

/** Another universe, with agents: where a backup of the stage's can be restored to. */
export interface Elsewhere {
  readonly universe: Universe;
  /** In the order of `universe.tservers`. */
  readonly agents: readonly ServerProcess[];
  /** Of the same name and with the same repository as the stage's own. */
  readonly planFile: string;
  stop(): Promise<void>;
}

export const PLAN = 'universe';

export interface StageOptions extends UniverseOptions {
  /** The repository is a bucket of an S3 gateway, instead of a directory. */
  readonly s3?: boolean;
}

/** Of the gateway's repository. */
export const BUCKET = 'backups';

export async function startStage({ s3 = false, ...options }: StageOptions = {}): Promise<Stage> {
  const scratch = await createScratchFolder('universe-stage');
  const [universe, temporal, gateway] = await Promise.all([
    startUniverse(options),
    startTemporal({ headless: true }),
    s3 ? startS3Gateway() : undefined,
  ]);
  const folder = scratch.path;
  const directory = path.join(folder, 'repository');
  await mkdir(directory);
  await gateway?.createBucket(BUCKET);
  const planFile = path.join(folder, 'universe.yaml');
  const location = gateway === undefined ? `directory: ${directory}` : s3Location(gateway);
  await writeFile(planFile, planText(universe, location, '{ env: YSQL_URL }'));
  const environment = {
    ...universe.environment,
    ...(gateway === undefined
      ? {}
      : { STAGE_S3_KEY: gateway.accessKeyId, STAGE_S3_SECRET: gateway.secretAccessKey }),
    YSQL_URL: universe.ysqlUrl,
    TEMPORAL_ADDRESS: temporal.address,
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
  };
  const store = gateway === undefined ? new DirectoryStore(directory) : await storeOf(gateway);
  const worker = await startWorker('worker', [], environment, folder);
  const agents = await startAgents(universe, environment, folder);
  return {
    ...{ universe, temporal, worker, agents, gateway, folder, planFile, environment },
    async planOf(name, databases, keyspaces) {
      const file = path.join(folder, `${name}.yaml`);
      const text = await readFile(planFile, 'utf8');
      await writeFile(
        file,
        text
          .replace(`{ name: ${PLAN} }`, `{ name: ${name} }`)
          .replace('      databases: [shop]\n', listOf('databases', databases))
          .replace('      keyspaces: [metrics]\n', listOf('keyspaces', keyspaces)),
      );
      return file;
    },
    store: () => store,
    run: (...args) => holdfast(args, environment),
    json: (...args) => holdfastJson(args, environment),
    async stop() {
      await Promise.all([worker, ...agents].map((process) => process.stop()));
      await temporal.stop();
      await gateway?.stop();
      await universe.stop();
      await scratch.remove();
    },
  };
}

export function storeOf({ endpoint, region, accessKeyId, secretAccessKey }: S3Gateway): Promise<Store> {
  const credentials = { accessKeyId: { env: 'STAGE_S3_KEY' }, secretAccessKey: { env: 'STAGE_S3_SECRET' } };
  const location = {
    kind: 's3',
    bucket: BUCKET,
    prefix: '',
    region,
    endpoint,
    forcePathStyle: true,
  } as const;
  return S3Store.open({ ...location, credentials }, async (reference) =>
    reference === credentials.accessKeyId ? accessKeyId : secretAccessKey,
  );
}

export const s3Location = ({ endpoint, region }: S3Gateway): string =>
  `s3: { bucket: ${BUCKET}, endpoint: "${endpoint}", region: ${region}, pathStyle: true, credentials: { accessKeyId: { env: STAGE_S3_KEY }, secretAccessKey: { env: STAGE_S3_SECRET } } }`;

/** Starts another universe beside the stage's own; the stage's worker serves both. */
export async function startElsewhere(stage: Stage, options: UniverseOptions): Promise<Elsewhere> {
  const { environment, folder } = stage;
  const universe = await startUniverse(options);
  // Each worker was told one connection only when it was started.
  const connection = path.join(universe.directory, 'ysql-url');
  await writeFile(connection, universe.ysqlUrl);
  const planFile = path.join(universe.directory, 'universe.yaml');
  const plan = planText(universe, `directory: ${path.join(folder, 'repository')}`, `{ file: ${connection} }`);
  await writeFile(planFile, plan);
  const agents = await startAgents(universe, environment, folder);
  return {
    ...{ universe, agents, planFile },
    async stop() {
      await Promise.all(agents.map((agent) => agent.stop()));
      await universe.stop();
    },
  };
}

function startAgents(
  { tservers }: Universe,
  environment: Stage['environment'],
  folder: string,
): Promise<readonly ServerProcess[]> {
  return Promise.all(
    tservers.map(({ address }) =>
      startWorker(`agent ${address}`, ['--tserver', address], environment, folder),
    ),
  );
}

/** The stage's plan with a drill, under another name: of the database alone, since the copy of a keyspace can't be dropped. */
export async function drilledPlan(stage: Stage): Promise<string> {
  const file = path.join(stage.folder, 'drilled.yaml');
  const text = (await readFile(stage.planFile, 'utf8'))
    .replace(`metadata: { name: ${PLAN} }`, 'metadata: { name: drilled }')
    .replace(/^ *keyspaces: .*\n/m, '');
  await writeFile(file, `${text}  drill: { timeout: 10m }\n`);
  return file;
}

export async function startWorker(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  folder: string,
): Promise<ServerProcess> {
  const health = await freePort();
  return startServer({
    name,
    command: process.execPath,
    args: ['cli/main.ts', 'worker', ...args, '--health', String(health)],
    inherits: 'everything',
    environment,
    logFile: path.join(folder, `${name.replaceAll(/[^a-z0-9.]/gi, '-')}.log`),
    checkReady: async () => {
      const answer = await fetch(`http://127.0.0.1:${health}/`);
      if (!answer.ok) throw new Error(await answer.text());
    },
  });
}

const listOf = (what: string, names: readonly string[]): string =>
  names.length === 0 ? '' : `      ${what}: [${names.join(', ')}]\n`;

function planText({ masters }: Universe, location: string, connection: string): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec:
  ${location}
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${PLAN} }
spec:
  source:
    universe:
      masters: [${masters.join(', ')}]
      ysql: { connection: ${connection} }
      databases: [shop]
      keyspaces: [metrics]
      countRows: true
      patience: { agent: 5s, snapshot: 20s, restoration: 20s }
  repository: main
  steps:
    - flush
    - snapshot: { retry: { maximumAttempts: 10, initialInterval: 200ms, maximumInterval: 2s } }
    - export: { retry: { maximumAttempts: 10, initialInterval: 200ms, maximumInterval: 2s } }
    - upload: { retry: { maximumAttempts: 10, initialInterval: 200ms, maximumInterval: 2s } }
    - verify: { level: content }
`;
}
