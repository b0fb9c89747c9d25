import { chmod, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { FOR_NODE } from '../../model/program-environment.ts';
import { startServer } from '../../parts/process.ts';
import { createScratchFolder } from '../../parts/scratch.ts';
import type { Action, Trigger, UniverseConfig, UniverseInfo, UniverseView } from './model.ts';

export interface UniverseOptions extends Partial<UniverseConfig> {
  /** Where it lives; an existing one goes on, and it stays after `stop`. Left out: a scratch folder. */
  readonly directory?: string;
}

/** A running simulated universe. */
export interface Universe extends UniverseInfo {
  readonly directory: string;
  readonly logFile: string;
  /** What a process that talks to it needs in its environment: `HOLDFAST_YB_BIN`. */
  readonly environment: Readonly<Record<string, string>>;
  ysql(database: string): string;
  /** Does it now; returns what was done, in words. Throws what went wrong. */
  act(action: Action): Promise<string>;
  /** Does it at its moment. */
  arm(trigger: Trigger): Promise<void>;
  /** Forgets what is armed, refused, delayed, and ends well again what is begun from now on. */
  disarm(): Promise<void>;
  view(): Promise<UniverseView>;
  /** `kill -9` of masters, tablet servers and their PostgreSQL. Files and memory of what was begun stay, for `restart`. */
  kill9(): Promise<void>;
  /** With the same addresses and data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const DEFAULTS: UniverseConfig = {
  profile: '2025.2',
  tservers: 3,
  readReplicas: 0,
  replicationFactor: 3,
  dataDirectories: 2,
  tabletsPerTable: 3,
  tls: false,
  snapshotMs: 150,
  restoreMs: 150,
  deleteMs: 100,
};

const MAIN = path.join(import.meta.dirname, 'main.ts');

/** Starts a universe; three tablet servers with two data directories each unless told otherwise. Throws as `startServer`. */
export async function startUniverse(options: UniverseOptions = {}): Promise<Universe> {
  const { directory: given, ...config } = options;
  const scratch = given === undefined ? await createScratchFolder('universe') : undefined;
  const directory = path.resolve(given ?? scratch?.path ?? '');
  // PostgreSQL's own account must get through to its folder.
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o711);
  const logFile = path.join(directory, 'universe.log');
  const server = await startServer({
    name: 'simulated universe',
    command: process.execPath,
    args: [
      '--disable-warning=ExperimentalWarning',
      MAIN,
      '--directory',
      directory,
      '--config',
      JSON.stringify({ ...DEFAULTS, ...config }),
    ],
    variables: FOR_NODE,
    logFile,
    checkReady: async () => void (await infoOf(directory)),
  });
  const info = await infoOf(directory);
  const call = async (name: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${info.control}/${name}`, {
      method: 'POST',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`the simulated universe refused ${name} ${JSON.stringify(body)}: ${text}`);
    return JSON.parse(text);
  };
  return {
    ...info,
    get pid() {
      return server.pid ?? 0;
    },
    directory,
    logFile,
    environment: { HOLDFAST_YB_BIN: info.binDirectory },
    ysql(database) {
      const url = new URL(info.ysqlUrl);
      url.pathname = `/${encodeURIComponent(database)}`;
      return url.href;
    },
    act: async (action) => String(await call('act', action)),
    arm: async (trigger) => void (await call('arm', trigger)),
    disarm: async () => void (await call('disarm')),
    view: async () => (await call('view')) as UniverseView,
    kill9: () => server.kill9(),
    restart: () => server.restart(),
    async stop() {
      await server.stop();
      await scratch?.remove();
    },
  };
}

async function infoOf(directory: string): Promise<UniverseInfo> {
  const { controlPort } = JSON.parse(await readFile(path.join(directory, 'state.json'), 'utf8')) as {
    controlPort: number;
  };
  const control = `http://127.0.0.1:${controlPort}`;
  const response = await fetch(`${control}/info`);
  if (!response.ok) throw new Error(await response.text());
  const info = (await response.json()) as UniverseInfo;
  if (info.control !== control) throw new Error(`another server answers at ${control}`);
  return info;
}
