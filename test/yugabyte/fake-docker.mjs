#!/usr/bin/env node
/**
 * A `docker` without an engine, for the test of the matrix: it notes each call (FAKE_DOCKER_LOG), says what the real one would, and runs a program of a container
 * as the one that stands in for it (FAKE_DOCKER_PROGRAMS). What a call is and takes follows Docker's documentation of `docker compose`, `exec`, `run`, `rm`, `kill`, `start`.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

const args = process.argv.slice(2);
const { FAKE_DOCKER_LOG = '', FAKE_DOCKER_PROGRAMS = '', FAKE_DOCKER_FAILS = '' } = process.env;
appendFileSync(FAKE_DOCKER_LOG, `${JSON.stringify(args)}\n`);

if (args[0] === 'compose') compose(args.slice(1));
else if (args[0] === 'exec') exec(args.slice(1));
else if (args[0] === 'run') run(args.slice(1));
else if (args[0] === 'rm') remove(args.slice(1));
else if ((args[0] === 'kill' || args[0] === 'start') && existsSync(placeOf(args[1] ?? ''))) {
  if (args[0] === 'kill') kill(args[1] ?? '');
  else launch(args[1] ?? '');
  process.stdout.write(`${args[1]}\n`);
} else if (args[0] === 'kill' || args[0] === 'start') process.stdout.write(`${args[1]}\n`);
else fail(`docker: '${args[0]}' is not a docker command.`);

/** @param {readonly string[]} words */
function compose(words) {
  if (words[0] !== '--file') fail('unknown flag');
  readFileSync(words[1] ?? '', 'utf8');
  for (const name of ['PROJECT', 'IMAGE', 'SUBNET', 'SHARED', 'RETENTION_HOURS']) {
    if (!process.env[`HOLDFAST_MATRIX_${name}`])
      fail(`required variable HOLDFAST_MATRIX_${name} is missing a value`);
  }
  const command = words[2] ?? '';
  if (command === FAKE_DOCKER_FAILS) fail('no space left on device');
  if (command === 'ps') process.stdout.write(`id-of-${words.at(-1)}\n`);
  else if (command === 'logs') process.stdout.write('master-1  | F1129 the disk is full\n');
  else if (!['up', 'down'].includes(command)) fail(`unknown docker command: "compose ${command}"`);
}

/**
 * Options, then the container, then the program with its arguments.
 * @param {readonly string[]} words
 */
function exec(words) {
  /** @type {Record<string, string | undefined>} */
  const env = {};
  let at = 0;
  for (; words[at]?.startsWith('-'); at += 1) {
    if (words[at] === '-i') continue;
    const value = words[at + 1] ?? '';
    if (words[at] === '-e') {
      const [name = '', given] = value.split(/=(.*)/s);
      // Without a value, docker passes on its own.
      env[name] = given ?? process.env[name];
    } else if (words[at] !== '--user') fail(`unknown flag: ${words[at]}`);
    at += 1;
  }
  const [container, program, ...rest] = words.slice(at);
  if (container !== 'id-of-tools') fail(`No such container: ${container}`);
  // A container has the image's environment, not the caller's.
  const own = { PATH: process.env.PATH, ...JSON.parse(process.env.FAKE_DOCKER_ENVIRONMENT ?? '{}'), ...env };
  const { status, error } = spawnSync(join(FAKE_DOCKER_PROGRAMS, basename(program ?? '')), rest, {
    stdio: 'inherit',
    env: own,
  });
  if (error) fail(error.message);
  process.exitCode = status ?? 1;
}

/**
 * Options, then the image, then the program with its arguments, which goes on here as a process of its own.
 * @param {readonly string[]} words
 */
function run(words) {
  if (FAKE_DOCKER_FAILS === 'run') fail('no space left on device');
  /** @type {Record<string, string | undefined>} */
  const env = {};
  let folder = '/';
  let at = 0;
  for (; words[at]?.startsWith('-'); at += 1) {
    const option = words[at] ?? '';
    if (option === '--detach') continue;
    const value = words[at + 1] ?? '';
    if (option === '-e') env[value] = process.env[value];
    else if (option === '--workdir') folder = value;
    else if (option === '--volumes-from' && !/^id-of-tserver-[123]$/.test(value)) {
      fail(`No such container: ${value}`);
    } else if (!['--network', '--volume', '--volumes-from'].includes(option)) fail(`unknown flag: ${option}`);
    at += 1;
  }
  const [image, program, ...rest] = words.slice(at);
  if (!image?.startsWith('node:')) fail(`Unable to find image '${image}' locally`);
  if (program !== 'node') fail(`exec: "${program}": executable file not found in $PATH`);
  const id = `agent-${process.pid}`;
  const addresses = JSON.parse(process.env.FAKE_DOCKER_ADDRESSES ?? '{}');
  const stored = { args: rest.map((word) => addresses[word] ?? word), env, folder };
  writeFileSync(placeOf(id), JSON.stringify(stored));
  launch(id);
  process.stdout.write(`${id}\n`);
}

/** @param {string} id */
function launch(id) {
  const stored = JSON.parse(readFileSync(placeOf(id), 'utf8'));
  const output = openSync(`${placeOf(id)}.log`, 'a');
  const child = spawn(process.execPath, stored.args, {
    cwd: stored.folder,
    env: { PATH: process.env.PATH, ...stored.env },
    detached: true,
    stdio: ['ignore', output, output],
  });
  child.unref();
  closeSync(output);
  writeFileSync(placeOf(id), JSON.stringify({ ...stored, pid: child.pid }));
}

/** @param {string} id */
function kill(id) {
  const { pid, ...stored } = JSON.parse(readFileSync(placeOf(id), 'utf8'));
  if (pid === undefined) fail(`cannot kill container: ${id}: container is not running`);
  process.kill(pid, 'SIGKILL');
  writeFileSync(placeOf(id), JSON.stringify(stored));
}

/** @param {readonly string[]} words */
function remove(words) {
  const id = words.at(-1) ?? '';
  if (words[0] !== '--force') fail('cannot remove container: container is running');
  if (!existsSync(placeOf(id))) fail(`No such container: ${id}`);
  if (JSON.parse(readFileSync(placeOf(id), 'utf8')).pid !== undefined) kill(id);
  rmSync(placeOf(id));
  process.stdout.write(`${id}\n`);
}

/**
 * Where a container that `run` has made is noted.
 * @param {string} id
 */
function placeOf(id) {
  return `${FAKE_DOCKER_LOG}.${basename(id)}`;
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
