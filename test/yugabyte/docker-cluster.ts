import { chmod, mkdir, realpath, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { messageOf } from '../../model/errors.ts';
import { createScratchFolder } from '../../parts/scratch.ts';
import { type Cluster, type Killable, PROGRAM_FOLDERS, type ProgramName } from './cluster.ts';
import { docker } from './docker.ts';
import { startDockerAgent } from './docker-agent.ts';
import type { Version } from './versions.ts';

const COMPOSE_FILE = path.join(import.meta.dirname, 'compose.yaml');
const READY_WITHIN_MS = 10 * 60_000;
const NODES = [1, 2, 3] as const;
/** `default_snapshot_retention_hours` (issue 27289): upstream's default, and the least that the flag can say. */
const USUAL_RETENTION_HOURS = 24;
const SHORTEST_RETENTION_HOURS = 1;
/** Masters look for what has expired only now and then. */
const LONGER_THAN_SHORTEST_MS = 80 * 60_000;

/** What a program on the host may have in its environment that the same program in a container must have too. */
const PASSED_ON = [
  ...['PGPASSWORD', 'PGOPTIONS', 'PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE', 'PGSSLMODE', 'PGSSLROOTCERT'],
  ...['PGAPPNAME', 'PGCONNECT_TIMEOUT', 'TZ', 'LC_ALL'],
];

export interface DockerOptions {
  /** The first three numbers of the containers' addresses. */
  readonly subnet: string;
  /** Told what is being done. */
  readonly say: (line: string) => void;
  /** Snapshots without a retention live an hour, the shortest that can be said, and that is waited for (80 minutes). */
  readonly expiry?: boolean;
  /** Waits until a server of YSQL answers. */
  readonly untilAnswers?: (url: string) => Promise<void>;
}

/**
 * Starts three masters and three tablet servers with three replicas of each tablet, and waits until YSQL answers on every node.
 *
 * @throws Error with the end of the containers' logs where it doesn't within ten minutes
 */
export async function startDockerCluster(
  version: Version,
  { subnet, say, expiry = false, untilAnswers = untilYsqlAnswers }: DockerOptions,
): Promise<Cluster> {
  const project = `holdfast-matrix-${version.line.replaceAll('.', '-')}`;
  const scratch = await createScratchFolder('matrix-programs');
  const environment = {
    ...process.env,
    HOLDFAST_MATRIX_PROJECT: project,
    HOLDFAST_MATRIX_IMAGE: version.image,
    HOLDFAST_MATRIX_SUBNET: subnet,
    HOLDFAST_MATRIX_RETENTION_HOURS: String(expiry ? SHORTEST_RETENTION_HOURS : USUAL_RETENTION_HOURS),
    // The tests exchange files with the programs in folders under here.
    HOLDFAST_MATRIX_SHARED: await realpath(tmpdir()),
  };
  const compose = (...args: readonly string[]) =>
    docker(['compose', '--file', COMPOSE_FILE, ...args], environment);
  const containerOf = async (service: string): Promise<string> => {
    const id = (await compose('ps', '--all', '--quiet', service)).trim();
    if (id === '') throw new Error(`there is no container of ${service} in ${project}`);
    return id;
  };
  const tserver = (index: number) => containerOf(`tserver-${index + 1}`);
  const urlOf = (node: number, database: string) =>
    `postgresql://yugabyte@${subnet}.2${node}:5433/${encodeURIComponent(database)}`;
  const agents: Killable[] = [];
  const stop = async () => {
    // Before the tablet servers, whose volumes they hold.
    for (const agent of agents.splice(0)) await agent.stop();
    await compose('down', '--volumes', '--timeout', '20');
    await scratch.remove();
  };
  try {
    // Of a run that was killed.
    await compose('down', '--volumes', '--timeout', '5');
    say(`starting ${version.image} …`);
    await compose('up', '--detach', '--quiet-pull');
    for (const node of NODES) await untilAnswers(urlOf(node, 'yugabyte'));
    await installPrograms(scratch.path, await containerOf('tools'));
  } catch (error) {
    const logs = await compose('logs', '--tail', '40').catch((why: unknown) => messageOf(why));
    await stop();
    throw new Error(`${version.image} did not start: ${messageOf(error)}\n${logs}`);
  }
  const masters = NODES.map((node) => `${subnet}.1${node}:7100`);
  return {
    kind: 'docker',
    what: version.image,
    masters,
    masterWebAddresses: masters.map((master) => `http://${master.replace(':7100', ':7000')}`),
    ysql: (database) => urlOf(1, database),
    otherNodes: [urlOf(2, 'yugabyte'), urlOf(3, 'yugabyte')],
    ycql: `${subnet}.21:9042/datacenter1`,
    environment: {
      HOLDFAST_YB_BIN: path.join(scratch.path, 'bin'),
      // The programs are scripts that call Docker.
      HOLDFAST_PROGRAM_ENVIRONMENT: 'DOCKER_*,FAKE_DOCKER_*',
    },
    program: (name) => path.join(scratch.path, PROGRAM_FOLDERS[name], name),
    killTserver: async (index) => void (await docker(['kill', await tserver(index)])),
    startTserver: async (index) => {
      await docker(['start', await tserver(index)]);
      await untilAnswers(urlOf(index + 1, 'yugabyte'));
    },
    startAgent: async (index, given) => {
      const agent = await startDockerAgent(await tserver(index), `${subnet}.2${index + 1}:9100`, given);
      agents.push(agent);
      return agent;
    },
    expiry: expiry
      ? { hours: SHORTEST_RETENTION_HOURS, pass: () => sleep(LONGER_THAN_SHORTEST_MS) }
      : undefined,
    stop,
  };
}

/** A folder laid out as an installation is, whose programs are scripts that run the real ones in the container. */
async function installPrograms(folder: string, container: string): Promise<void> {
  const { uid, gid } = userInfo();
  for (const name of Object.keys(PROGRAM_FOLDERS) as ProgramName[]) {
    const place = path.join(folder, PROGRAM_FOLDERS[name]);
    await mkdir(place, { recursive: true });
    const script = scriptOf(container, `/home/yugabyte/${PROGRAM_FOLDERS[name]}/${name}`, `${uid}:${gid}`);
    await writeFile(path.join(place, name), script);
    await chmod(path.join(place, name), 0o755);
  }
}

/** `docker exec -e NAME` passes a variable on with its value, so that no password stands among arguments. */
function scriptOf(container: string, program: string, user: string): string {
  return `#!/bin/sh
# Runs the program of the YugabyteDB under test, in the container that has it.
set -- ${container} ${program} "$@"
for name in ${PASSED_ON.join(' ')}; do
  eval "value=\\\${$name+set}"
  [ -z "$value" ] || set -- -e "$name" "$@"
done
exec docker exec -i --user ${user} -e HOME=/tmp "$@"
`;
}

async function untilYsqlAnswers(url: string): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    // A server that goes away says so here too; the query below throws.
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('SELECT 1');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${url} does not answer: ${messageOf(error)}`);
      await sleep(1_000);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}
