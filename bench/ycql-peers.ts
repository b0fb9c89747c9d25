import { execFile, spawn } from 'node:child_process';
import { access, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { CassandraCluster } from '../parts/cassandra.ts';
import { findJava, type JarSet, jarsOf } from '../parts/cassandra-programs.ts';
import { findOnPath } from '../parts/path.ts';
import { cacheFolder } from '../parts/tools.ts';

const DSBULK: JarSet = {
  name: 'dsbulk',
  version: '1.10.0',
  artifacts: [
    'runner',
    'workflow-load',
    'workflow-unload',
    'connectors-csv',
    'codecs-text',
    'executor-reactor',
    'batcher-reactor',
  ].map((module) => `com.datastax.oss:dsbulk-${module}`),
  size: 'about 60 MB',
};

/** Resources that a process used, measured from outside. */
export interface Taken {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** The DataStax bulk loader, as a whole process. */
export class Dsbulk {
  readonly #cluster: CassandraCluster;
  readonly #logs: string;

  constructor(cluster: CassandraCluster, logs: string) {
    this.#cluster = cluster;
    this.#logs = logs;
  }

  /** Unloads a table into gzipped CSV; also returns its size. */
  async unload(
    keyspace: string,
    table: string,
    directory: string,
  ): Promise<Taken & { readonly bytes: number }> {
    await rm(directory, { recursive: true, force: true });
    const taken = await this.#run('unload', keyspace, table, ['-url', directory]);
    let bytes = 0;
    for (const name of await readdir(directory)) bytes += (await stat(join(directory, name))).size;
    return { ...taken, bytes };
  }

  async load(keyspace: string, table: string, directory: string): Promise<Taken> {
    return await this.#run('load', keyspace, table, ['-url', directory]);
  }

  async #run(verb: string, keyspace: string, table: string, more: readonly string[]): Promise<Taken> {
    const jars = await jarsOf(DSBULK);
    const { contactPoints, port, localDataCenter } = this.#cluster;
    return await timed(await findJava(), [
      ...['-Xmx1G', '-cp', join(jars, '*'), 'com.datastax.oss.dsbulk.runner.DataStaxBulkLoader', verb],
      ...[
        '-h',
        contactPoints[0] ?? '',
        '-port',
        String(port),
        '-dc',
        localDataCenter,
        '-k',
        keyspace,
        '-t',
        table,
      ],
      ...['-c', 'csv', '--connector.csv.compression', 'gzip', '--log.directory', this.#logs],
      ...['--log.verbosity', 'quiet', ...more],
    ]);
  }
}

/** Installs `cqlsh` from PyPI once in its own virtual environment; undefined where there is no Python for it. */
export async function cqlsh(): Promise<string | undefined> {
  const python = await findOnPath('python3');
  if (python === undefined) return undefined;
  const folder = cacheFolder('cqlsh-6.2.1');
  const program = join(folder, 'bin', 'cqlsh');
  try {
    await access(program);
    return program;
  } catch {
    // not there yet
  }
  try {
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, '..'), { recursive: true });
    await promisify(execFile)(python, ['-m', 'venv', folder]);
    await promisify(execFile)(join(folder, 'bin', 'pip'), ['install', '--quiet', 'cqlsh==6.2.1']);
    return program;
  } catch (error) {
    process.stderr.write(
      `cqlsh is left out: ${error instanceof Error ? error.message.slice(0, 300) : String(error)}\n`,
    );
    await rename(folder, `${folder}.broken`).catch(() => undefined); // for whoever wants to know why
    return undefined;
  }
}

/** Runs a program to its end. On failure throws an error with the end of its stderr. */
export async function timed(program: string, args: readonly string[]): Promise<Taken> {
  const child = spawn('bash', ['-c', 'TIMEFORMAT="TIMED %R %U %S"; time "$@"', 'bash', program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [, seconds, user, system] = /TIMED ([\d.]+) ([\d.]+) ([\d.]+)/.exec(said) ?? [];
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${said.slice(-2_000)}`);
  return { seconds: Number(seconds), cpuSeconds: Number(user) + Number(system) };
}
