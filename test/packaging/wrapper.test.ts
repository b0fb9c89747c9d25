import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { withScratchFolder, writeProgram } from '../support/scratch.ts';

const ROOT = path.dirname(path.dirname(__dirname));

/** A bare clone, and the folder of all the programs that the machine has. */
type Clone = { readonly root: string; readonly programs: string; readonly npmLog: string };

/** Installs as npm does, as far as the wrapper can see, and writes down that it was called. */
const NPM_THAT_INSTALLS = `
echo "$*" >> "$NPM_LOG"
sleep 0.3
mkdir -p node_modules/.bin
ln -sf "$REAL_NODE" node_modules/.bin/node`;

/** Leaves the pinned Node out, as an npm does that was told to run no install scripts. */
const NPM_THAT_BLOCKS_SCRIPTS = `
mkdir -p node_modules/node node_modules/.bin
ln -sf ../node/bin/node node_modules/.bin/node
cat > node_modules/node/installArchSpecificPackage.js <<'END'
require('node:fs').mkdirSync('bin');
require('node:fs').symlinkSync(process.env.REAL_NODE, 'bin/node');
END`;

const COMMAND_LINE = `
console.log(JSON.stringify({ args: process.argv.slice(2), folder: process.cwd(), pid: process.pid }));
process.exitCode = 3;`;

function inBareClone(use: (clone: Clone) => Promise<void>) {
  return () =>
    withScratchFolder(async (folder) => {
      const clone = {
        root: path.join(folder, 'a clone'),
        programs: path.join(folder, 'programs'),
        npmLog: path.join(folder, 'npm.log'),
      };
      for (const part of ['holdfast', 'bootstrap', 'package.json', 'package-lock.json']) {
        await cp(path.join(ROOT, part), path.join(clone.root, part), { recursive: true });
      }
      await mkdir(path.join(clone.root, 'cli'));
      await writeFile(path.join(clone.root, 'cli/main.ts'), COMMAND_LINE);
      for (const program of ['sh', 'dirname', 'readlink', 'cmp', 'sleep', 'mkdir', 'ln', 'cat']) {
        await writeProgram(clone.programs, program, `PATH=/usr/bin:/bin exec ${program} "$@"`);
      }
      await writeProgram(clone.programs, 'node', `exec "${process.execPath}" "$@"`);
      await use(clone);
    });
}

async function run(
  { root, programs, npmLog }: Clone,
  options: { script?: string; folder?: string; environment?: Record<string, string> } = {},
) {
  const child = spawn(
    '/bin/sh',
    [options.script ?? path.join(root, 'holdfast'), 'validate', 'plans/my plan.yaml'],
    {
      cwd: options.folder ?? root,
      env: {
        PATH: programs,
        HOME: root,
        NPM_LOG: npmLog,
        REAL_NODE: process.execPath,
        ...options.environment,
      },
    },
  );
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, stdout, stderr, pid: child.pid };
}

const npmCalls = async (clone: Clone) => (await readFile(clone.npmLog, 'utf8')).trimEnd().split('\n');

describe('./holdfast in a bare clone', () => {
  it(
    'installs once, also for two runs at the same time, and again when the lock file has changed',
    inBareClone(async (clone) => {
      await writeProgram(clone.programs, 'npm', NPM_THAT_INSTALLS);
      for (const { code } of await Promise.all([run(clone), run(clone)])) expect(code).toBe(3);
      await run(clone);
      expect(await npmCalls(clone)).toEqual([expect.stringMatching(/^ci --include=dev/)]);
      await appendFile(path.join(clone.root, 'package-lock.json'), '\n');
      await run(clone);
      expect(await npmCalls(clone)).toHaveLength(2);
    }),
  );

  it(
    'becomes the real command: same process, arguments, folder and exit code, only its output on stdout',
    inBareClone(async (clone) => {
      await writeProgram(clone.programs, 'npm', `echo 'added 486 packages'\n${NPM_THAT_INSTALLS}`);
      await mkdir(path.join(clone.root, 'elsewhere'));
      const link = path.join(clone.root, 'elsewhere/link');
      await symlink('../holdfast', link);
      const { code, stdout, pid } = await run(clone, { script: link, folder: path.dirname(link) });
      expect(JSON.parse(stdout)).toEqual({
        args: ['validate', 'plans/my plan.yaml'],
        folder: path.dirname(link),
        pid,
      });
      expect(code).toBe(3);
    }),
  );

  it(
    'installs the pinned Node by itself where npm blocks install scripts',
    inBareClone(async (clone) => {
      await writeProgram(clone.programs, 'npm', NPM_THAT_BLOCKS_SCRIPTS);
      expect(await run(clone)).toMatchObject({
        code: 3,
        stderr: expect.stringContaining('installing the pinned Node'),
      });
    }),
  );

  it.each([
    [
      'Node is missing',
      async ({ programs }: Clone) => rm(path.join(programs, 'node')),
      {},
      'there is no `node` on PATH. Install Node 18 or newer',
    ],
    [
      'Node is too old',
      async ({ root }: Clone) =>
        writeFile(
          path.join(root, 'old.cjs'),
          `const versions = { ...process.versions, node: '16.20.2' };
           Object.defineProperty(process, 'versions', { value: versions });
           Object.defineProperty(process, 'version', { value: 'v16.20.2' });`,
        ),
      { NODE_OPTIONS: '--require=./old.cjs' },
      'Node 18 or newer is needed to set this checkout up, and this is v16.20.2',
    ],
    ['npm is missing', async () => undefined, {}, 'there is no `npm` on PATH. Install the one that comes'],
    [
      'npm fails',
      async ({ programs }: Clone) => writeProgram(programs, 'npm', 'echo "npm error disk full" >&2; exit 7'),
      {},
      'npm ended with code 7',
    ],
    [
      'the network is missing',
      async ({ programs }: Clone) =>
        writeProgram(programs, 'npm', 'echo "npm error network EAI_AGAIN" >&2; exit 1'),
      {},
      'npm could not reach its registry. Connect to the network',
    ],
  ])('says what to do when %s', (_what, prepare, environment, message) =>
    inBareClone(async (clone) => {
      await prepare(clone);
      const { code, stderr } = await run(clone, { environment });
      expect(code).toBe(1);
      expect(stderr).toContain(message);
      expect(stderr).not.toMatch(/^\s+at /m);
    })(),
  );
});
