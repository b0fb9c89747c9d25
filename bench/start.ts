import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './statistics.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BARE = 'bare Node';
/** The checkout's own sources, and the package as `npm run build` makes it. */
const MAINS: Readonly<Record<string, string>> = {
  checkout: join(ROOT, 'cli', 'main.ts'),
  package: join(ROOT, 'dist', 'cli', 'main.js'),
};

const COMMANDS: readonly (readonly string[])[] = [
  ['--version'],
  ['--help'],
  ['validate', 'plans/orders.yaml'],
  ['explain', 'plans/orders.yaml'],
];

/** The measured commands by name; those of the package only if it is built. */
const MEASURED: Readonly<Record<string, readonly string[]>> = {
  [BARE]: ['-e', '0'],
  ...Object.fromEntries(
    Object.entries(MAINS)
      .filter(([, main]) => existsSync(main))
      .flatMap(([where, main]) =>
        COMMANDS.map((command) => [`${where}: holdfast ${command[0]}`, [main, ...command]]),
      ),
  ),
};

interface Taken {
  readonly cpuSeconds: number;
  readonly seconds: number;
}

/**
 * Measures how long the commands that need no server take: in CPU time of the process, which other work on the machine affects least, as
 * ratios to bare Node, and in elapsed time. Sources are compiled beforehand, as they are from the second command on.
 */
export async function benchStart({
  rounds,
  json,
}: {
  readonly rounds: number;
  readonly json: boolean;
}): Promise<void> {
  const cache = await mkdtemp(join(tmpdir(), 'holdfast-bench-start-'));
  try {
    const taken: Record<string, Taken[]> = {};
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, args] of Object.entries(MEASURED)) {
        const one = await timeOf(args, cache);
        if (round > 0) taken[name] = [...(taken[name] ?? []), one];
      }
    }
    const bare = median((taken[BARE] ?? []).map(({ cpuSeconds }) => cpuSeconds));
    const results = Object.entries(taken).map(([name, all]) => {
      const cpuSeconds = median(all.map((one) => one.cpuSeconds));
      return { name, cpuSeconds, seconds: median(all.map((one) => one.seconds)), ratio: cpuSeconds / bare };
    });
    if (json) process.stdout.write(`${JSON.stringify(results)}\n`);
    for (const { name, cpuSeconds, seconds, ratio } of json ? [] : results)
      process.stdout.write(
        `${name.padEnd(30)} ${cpuSeconds.toFixed(3)} s of CPU  ${ratio.toFixed(1)} × bare Node  ${seconds.toFixed(2)} s on the clock\n`,
      );
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

/** Measures a Node process, which prints its own CPU time as it ends. */
function timeOf(args: readonly string[], cache: string): Promise<Taken> {
  const startedAt = performance.now();
  const printTime = `data:text/javascript,process.on('exit',()=>{const{user,system}=process.cpuUsage();process._rawDebug('cpu '+(user+system))})`;
  const child = spawn(process.execPath, ['--import', printTime, ...args], {
    cwd: ROOT,
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let printed = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1000;
      const microseconds = /^cpu (\d+)$/m.exec(printed)?.[1];
      if (microseconds === undefined)
        reject(new Error(`holdfast ${args.join(' ')} printed no time: ${printed}`));
      else resolve({ cpuSeconds: Number(microseconds) / 1e6, seconds });
    });
  });
}
