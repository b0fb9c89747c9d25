import { execFile } from 'node:child_process';
import { chmod, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { ACTIONLINT, executableOf } from '../../parts/tools.ts';
import { eventually } from '../support/processes.ts';
import { startUniverse, type Universe } from '../universe/launcher.ts';
import { outcomeOf } from './acceptance.ts';
import type { Cluster } from './cluster.ts';
import { startDockerCluster } from './docker-cluster.ts';
import { type Facts, isWell, render, writeFacts } from './facts.ts';
import { runLine } from './line.ts';
import { QUESTIONS } from './questions.ts';
import { startStandInCluster } from './stand-in-cluster.ts';
import { VERSIONS, versionOf } from './versions.ts';

/** The matrix of real YugabyteDBs, driven against stand-ins: no line of it runs for the first time on a stranger's machine. */

const ROOT = path.join(__dirname, '../..');
const NEWEST = versionOf('2025.2');
const quiet = () => undefined;

const runs = (engine: string | undefined, killed: string | undefined) =>
  ['backup', 'restore'].map((during) => [engine, killed, during, 'ended well']);

test('on the stand-in a line is disturbed, asked everything, and found well; what is written says that it is no fact', async () => {
  const scratch = await createScratchFolder('matrix');
  try {
    const facts = await runLine({
      version: NEWEST,
      parts: ['kills', 'questions'],
      holdfast: '0.0.0',
      rows: 60_000,
      bytesPerSecond: '3MiB',
      jest: [],
      say: quiet,
      start: () => startStandInCluster(NEWEST),
    });
    expect({
      problems: facts.problems,
      kills: facts.kills.map(({ engine, killed, during, detail }) => [engine, killed, during, detail]),
    }).toEqual({
      problems: [],
      kills: [
        ...runs(undefined, undefined),
        ...runs('universe', 'agent'),
        ...runs('universe', 'worker'),
        ...runs('universe', undefined),
      ],
    });
    expect(facts.answers.map(({ id }) => id)).toEqual(QUESTIONS.map(({ id }) => id));
    expect(facts.answers.filter(({ problem }) => problem !== undefined)).toEqual([]);
    expect(facts.answers.at(-1)?.answer).toEqual({ hours: 24, before: 'COMPLETE', after: 'gone' });
    expect(isWell(facts)).toBe(true);
    await writeFacts(scratch.path, facts);
    expect((await readdir(scratch.path)).sort()).toEqual(['2025.2.json', '2025.2.md']);
    await expect(readFile(path.join(scratch.path, '2025.2.md'), 'utf8')).resolves.toContain('**No facts**');
  } finally {
    await scratch.remove();
  }
});

describe('with a docker that notes what it is asked', () => {
  let universe: Universe;
  let scratch: ScratchFolder;
  let log: string;
  const before = { ...process.env };
  beforeAll(async () => {
    universe = await startUniverse();
    scratch = await createScratchFolder('fake-docker');
    log = path.join(scratch.path, 'log');
    await symlink(path.join(__dirname, 'fake-docker.mjs'), path.join(scratch.path, 'docker'));
    Object.assign(process.env, {
      PATH: `${scratch.path}:${path.dirname(process.execPath)}:${process.env.PATH}`,
      FAKE_DOCKER_LOG: log,
      FAKE_DOCKER_PROGRAMS: universe.binDirectory,
    });
  });
  beforeEach(() => writeFile(log, ''));
  afterEach(() => {
    delete process.env.FAKE_DOCKER_FAILS;
  });
  afterAll(async () => {
    process.env = before;
    await universe.stop();
    await scratch.remove();
  });

  const calls = async (): Promise<readonly (readonly string[])[]> =>
    (await readFile(log, 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as string[]);

  /** Nobody listens on containers' addresses here, so YSQL is said to answer. */
  const start = () =>
    startDockerCluster(NEWEST, { subnet: '172.30.218', say: quiet, untilAnswers: async () => undefined });

  test('a cluster is started anew, its programs run in a container, a tablet server is killed, and all of it is removed', async () => {
    const cluster = await start();
    const composed = (await calls()).map((call) =>
      call.filter((word) => !word.endsWith('compose.yaml')).join(' '),
    );
    expect(composed.slice(0, 3)).toEqual([
      'compose --file down --volumes --timeout 5',
      'compose --file up --detach --quiet-pull',
      'compose --file ps --all --quiet tools',
    ]);
    expect(cluster.masters).toEqual(['172.30.218.11:7100', '172.30.218.12:7100', '172.30.218.13:7100']);

    const program = cluster.program('yb-admin');
    expect(program).toBe(path.join(cluster.environment.HOLDFAST_YB_BIN ?? '', 'yb-admin'));
    const { stdout } = await promisify(execFile)(
      program,
      [`--master_addresses=${universe.masters.join(',')}`, 'list_namespaces', 'INCLUDE_NONRUNNING'],
      // Jest's own environment is not what a process inherits.
      { env: process.env },
    );
    expect(stdout).toContain('yugabyte');

    await cluster.killTserver(1);
    await cluster.startTserver(1);
    expect((await calls()).filter(([name]) => name === 'kill' || name === 'start')).toEqual([
      ['kill', 'id-of-tserver-2'],
      ['start', 'id-of-tserver-2'],
    ]);
    await cluster.stop();
    expect((await calls()).at(-1)?.slice(-4)).toEqual(['down', '--volumes', '--timeout', '20']);
  });

  describe('an agent beside a tablet server', () => {
    let temporal: TemporalServer;
    beforeAll(async () => {
      temporal = await startTemporal({ headless: true });
      // The tablet server that listens at the container's address.
      process.env.FAKE_DOCKER_ADDRESSES = JSON.stringify({
        '172.30.218.22:9100': universe.tservers[1]?.address,
      });
    });
    afterAll(() => temporal.stop());
    const environment = () => ({ TEMPORAL_ADDRESS: temporal.address, AGENTS_SECRET: 'not to be seen' });
    const answers = async (port: string): Promise<boolean> =>
      fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => false,
      );

    test('polls from a container that has its volumes, is killed, started again, and removed before the volumes are', async () => {
      const cluster = await start();
      const agent = await cluster.startAgent(1, environment());
      const [run = []] = (await calls()).filter(([name]) => name === 'run');
      const port = run.at(-1) ?? '';
      expect(run.slice(0, 6)).toEqual([
        ...['run', '--detach', '--network', 'host', '--volumes-from', 'id-of-tserver-2'],
      ]);
      expect(run).toContain(`node:${process.versions.node}-bookworm-slim`);
      expect(JSON.stringify(run)).not.toContain('not to be seen');
      await expect(answers(port)).resolves.toBe(true);
      await agent.kill9();
      await eventually('it is gone', async () => !(await answers(port)));
      await agent.restart();
      await expect(answers(port)).resolves.toBe(true);
      await cluster.stop();
      await eventually('it is gone', async () => !(await answers(port)));
      const last = (await calls()).slice(-2).map(([name]) => name);
      expect(last).toEqual(['rm', 'compose']);
    });

    test('one that docker can not start is told', async () => {
      const cluster = await start();
      try {
        process.env.FAKE_DOCKER_FAILS = 'run';
        await expect(cluster.startAgent(1, environment())).rejects.toThrow(/no space left on device/);
      } finally {
        await cluster.stop();
      }
    });
  });

  test('a password goes into the container by its environment, and never as an argument', async () => {
    const cluster = await start();
    try {
      await shows(cluster, { PGPASSWORD: "it's secret", PGOPTIONS: '-c x=1' });
      const [call] = (await calls()).filter(([name]) => name === 'exec');
      expect(call).toEqual(expect.arrayContaining(['-e', 'PGPASSWORD', 'PGOPTIONS']));
      expect(JSON.stringify(call)).not.toContain('secret');
    } finally {
      await cluster.stop();
    }
  });

  /** The program of the container prints what it was given. */
  async function shows(cluster: Cluster, env: Readonly<Record<string, string>>): Promise<void> {
    const folder = await createScratchFolder('shows');
    const previous = process.env.FAKE_DOCKER_PROGRAMS;
    try {
      const file = path.join(folder.path, 'ysql_dump');
      await writeFile(file, '#!/bin/sh\nprintf "%s|%s|%s" "$PGPASSWORD" "$PGOPTIONS" "$*"\n');
      await chmod(file, 0o755);
      const { stdout } = await promisify(execFile)(cluster.program('ysql_dump'), ['--file', 'a b', '-w'], {
        env: { ...process.env, FAKE_DOCKER_PROGRAMS: folder.path, ...env },
      });
      expect(stdout).toBe(`${env.PGPASSWORD}|${env.PGOPTIONS}|--file a b -w`);
    } finally {
      process.env.FAKE_DOCKER_PROGRAMS = previous;
      await folder.remove();
    }
  }

  test('one that does not start is removed, and the end of its logs is told', async () => {
    process.env.FAKE_DOCKER_FAILS = 'up';
    await expect(start()).rejects.toThrow(/did not start: .*no space left on device.*the disk is full/s);
    expect((await calls()).at(-1)).toContain('down');
  });

  test('a line whose cluster does not start is not well, and says why', async () => {
    process.env.FAKE_DOCKER_FAILS = 'up';
    const facts = await runLine({
      version: NEWEST,
      parts: ['questions'],
      holdfast: '0.0.0',
      rows: 1,
      jest: [],
      say: quiet,
      start,
    });
    expect(isWell(facts)).toBe(false);
    expect(render(facts)).toContain('**Not run:**');
  });
});

describe('what counts as well', () => {
  const facts: Facts = {
    ...{
      format: 1,
      line: '2025.2',
      what: 'an image',
      kind: 'docker',
      at: '2026-01-01T00:00:00Z',
      holdfast: '0',
    },
    suites: [{ suite: 'test/ysql', passed: 3, failed: 0, skipped: 0, failures: [] }],
    kills: [{ during: 'backup', survived: true, detail: 'ended well', durationMs: 1 }],
    answers: [{ id: 'a', question: 'b', problem: 'no answer' }],
    problems: [],
  };
  test('everything passed: well, whatever the answers are', () => expect(isWell(facts)).toBe(true));
  test.each<[string, Partial<Facts>]>([
    ['a test failed', { suites: [{ suite: 's', passed: 2, failed: 1, skipped: 0, failures: ['t'] }] }],
    ['no test ran', { suites: [{ suite: 's', passed: 0, failed: 0, skipped: 9, failures: [] }] }],
    [
      'a kill was not survived',
      { kills: [{ during: 'restore', survived: false, detail: '', durationMs: 1 }] },
    ],
    ['a part was not run', { problems: ['kills: the disk is full'] }],
  ])('%s: not well', (_, wrong) => expect(isWell({ ...facts, ...wrong })).toBe(false));

  test('an answer can not end the cell of the table that it stands in', () => {
    const answer = { text: 'a | b\n`c`' };
    const row = render({ ...facts, answers: [{ id: 'x', question: 'q', answer }] })
      .split('\n')
      .find((line) => line.startsWith('| x |'));
    expect(row?.match(/(?<!\\)\|/g)).toHaveLength(4);
  });
});

test('a file of tests that could not be loaded is a failure, and so is a suite in which nothing ran', () => {
  const report = (status: string, assertionResults: readonly object[], numPassedTests: number) =>
    JSON.stringify({
      ...{ numPassedTests, numFailedTests: 0, numPendingTests: 0 },
      testResults: [{ name: '/a/broken.test.ts', status, assertionResults }],
    });
  expect(outcomeOf('s', report('failed', [], 4)).failures).toEqual(['broken.test.ts could not be run']);
  expect(outcomeOf('s', report('passed', [], 0))).toMatchObject({ failed: 1 });
  expect(outcomeOf('s', report('failed', [{ fullName: 'it works', status: 'failed' }], 4)).failures).toEqual([
    'it works',
  ]);
});

test('the workflows are sound, and their matrix is that of the pinned versions', async () => {
  const folder = path.join(ROOT, '.github/workflows');
  const files = (await readdir(folder)).map((name) => path.join(folder, name));
  const actionlint = await executableOf(ACTIONLINT);
  const { stdout } = await promisify(execFile)(actionlint, [
    '-no-color',
    '-shellcheck=',
    '-pyflakes=',
    ...files,
  ]);
  expect(stdout).toBe('');
  const workflow = parse(await readFile(path.join(folder, 'yugabyte.yml'), 'utf8'));
  expect(workflow.jobs.line.strategy.matrix.line).toEqual(VERSIONS.map(({ line }) => line));
  const ci = await readFile(path.join(folder, 'ci.yml'), 'utf8');
  expect(ci).toContain('- run: .ci/run');
});

test('the containers are those that the matrix asks for, and the image on trial is the one that people are shown', async () => {
  const text = await readFile(path.join(__dirname, 'compose.yaml'), 'utf8');
  const { services } = parse(text, { merge: true });
  expect(Object.keys(services)).toEqual([
    ...['master-1', 'master-2', 'master-3', 'tserver-1', 'tserver-2', 'tserver-3', 'tools'],
  ]);
  const addresses = Object.values<{ networks: { nodes: { ipv4_address: string } } }>(services).map(
    ({ networks }) => networks.nodes.ipv4_address.replace(/.*\./, ''),
  );
  expect(addresses).toEqual(['11', '12', '13', '21', '22', '23', '31']);
  expect(new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name))).toEqual(
    new Set(
      ['PROJECT', 'IMAGE', 'SUBNET', 'SHARED', 'RETENTION_HOURS'].map((name) => `HOLDFAST_MATRIX_${name}`),
    ),
  );
  const shown = parse(await readFile(path.join(ROOT, 'deploy/compose.yaml'), 'utf8'), { merge: true });
  expect(shown.services.yugabytedb.image).toBe(NEWEST.image);
});

test('the page lists every question, in the order in which they are asked', async () => {
  const page = await readFile(path.join(ROOT, 'docs/yugabytedb-matrix.md'), 'utf8');
  const questions = page.slice(page.indexOf('## Questions'));
  const listed = [...questions.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, id]) => id);
  expect(listed).toEqual(QUESTIONS.map(({ id }) => id));
  for (const { image } of VERSIONS) expect(page).toContain(image);
});
