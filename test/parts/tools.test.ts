import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { eventually, isRunning } from '../support/processes.ts';
import { withScratchFolder, writeProgram } from '../support/scratch.ts';

/** A machine of its own: an empty cache, and on PATH the system's programs and a Go made for the test. */
type Machine = { readonly cache: string; readonly programs: string; readonly log: string };

const GO_THAT_BUILDS = `
echo "$$ $*" >> "$GO_TEST_LOG"
[ -e "$GO_TEST_LOG.slow" ] && sleep 60
echo 'go: downloading example.com/module v1.0.0' >&2
printf '#!/bin/sh\\n' > "$GOBIN/versitygw"
chmod +x "$GOBIN/versitygw"`;

function onMachine(use: (machine: Machine) => Promise<void>) {
  return () =>
    withScratchFolder((folder) =>
      use({
        cache: path.join(folder, 'cache with space'),
        programs: path.join(folder, 'programs'),
        log: path.join(folder, 'go.log'),
      }),
    );
}

function ask({ cache, programs, log }: Machine): ChildProcess {
  return spawn(process.execPath, [path.join(__dirname, 'build-tool.ts')], {
    // Go is told what begins with GO.
    env: { PATH: `${programs}:/usr/bin:/bin`, HOME: cache, XDG_CACHE_HOME: cache, GO_TEST_LOG: log },
  });
}

async function answerOf(program: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    program.stdout === null ? '' : text(program.stdout),
    program.stderr === null ? '' : text(program.stderr),
    once(program, 'close'),
  ]);
  return { code, stdout, stderr };
}

const executableIn = (machine: Machine) =>
  path.join(machine.cache, 'holdfast/tools/versitygw-v1.8.0/versitygw');

const buildsOf = async (machine: Machine) => (await readFile(machine.log, 'utf8')).trimEnd().split('\n');

describe('a tool that must be built', () => {
  it(
    'is built once, into the cache folder under its version, also when two ask at the same time',
    onMachine(async (machine) => {
      await writeProgram(machine.programs, 'go', GO_THAT_BUILDS);
      const answers = await Promise.all([answerOf(ask(machine)), answerOf(ask(machine))]);
      answers.push(await answerOf(ask(machine)));
      for (const answer of answers) {
        expect(answer).toMatchObject({ code: 0, stdout: executableIn(machine) });
      }
      const builds = await buildsOf(machine);
      expect(builds).toEqual([expect.stringContaining('versitygw/cmd/versitygw@v1.8.0')]);
      expect(answers.map(({ stderr }) => stderr).join('')).toContain('versitygw v1.8.0: built in');
    }),
  );

  it(
    'is built by the next who asks when the first builder was killed',
    onMachine(async (machine) => {
      await writeProgram(machine.programs, 'go', GO_THAT_BUILDS);
      await writeFile(`${machine.log}.slow`, '');
      const first = ask(machine);
      const ended = once(first, 'close');
      await eventually('the first build has begun', async () => existsSync(machine.log));
      const [go] = (await readFile(machine.log, 'utf8')).split(' ');
      first.kill('SIGKILL');
      await ended;
      await eventually('its Go has been stopped', async () => !(await isRunning(Number(go))));
      await rm(`${machine.log}.slow`);
      expect(await answerOf(ask(machine))).toMatchObject({ code: 0, stdout: executableIn(machine) });
    }),
  );

  it(
    'is taken from PATH when it is there',
    onMachine(async (machine) => {
      await writeProgram(machine.programs, 'versitygw', '');
      expect(await answerOf(ask(machine))).toEqual({
        code: 0,
        stdout: path.join(machine.programs, 'versitygw'),
        stderr: '',
      });
    }),
  );

  it(
    'is refused with the remedy where Go is missing',
    onMachine(async (machine) => {
      const { code, stderr } = await answerOf(ask(machine));
      expect(code).toBe(1);
      expect(stderr).toContain('building it needs Go, which is not on PATH');
      expect(stderr).toContain('Install Go 1.25 or newer');
    }),
  );

  it(
    "is refused with Go's own words when the build fails, and the next attempt starts afresh",
    onMachine(async (machine) => {
      await writeProgram(machine.programs, 'go', 'echo "dial tcp: lookup failed" >&2; exit 1');
      const { code, stderr } = await answerOf(ask(machine));
      expect(code).toBe(1);
      expect(stderr).toMatch(/could not be built: go install ended with code 1\ndial tcp: lookup failed/);
      await writeProgram(machine.programs, 'go', GO_THAT_BUILDS);
      expect(await answerOf(ask(machine))).toMatchObject({ code: 0 });
    }),
  );
});
