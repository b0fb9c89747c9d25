#!/usr/bin/env node
/**
 * A `docker` without an engine, for the test of the matrix: it notes each call (FAKE_DOCKER_LOG), says what the real one would, and runs a program of a container
 * as the one that stands in for it (FAKE_DOCKER_PROGRAMS). What a call is and takes follows Docker's documentation of `docker compose`, `exec`, `kill`, `start`.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const args = process.argv.slice(2);
const { FAKE_DOCKER_LOG = '', FAKE_DOCKER_PROGRAMS = '', FAKE_DOCKER_FAILS = '' } = process.env;
appendFileSync(FAKE_DOCKER_LOG, `${JSON.stringify(args)}\n`);

if (args[0] === 'compose') compose(args.slice(1));
else if (args[0] === 'exec') exec(args.slice(1));
else if (args[0] === 'kill' || args[0] === 'start') process.stdout.write(`${args[1]}\n`);
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
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
