import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './statistics.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAIN = join(ROOT, 'cli', 'main.ts');

const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  'bare Node': ['-e', '0'],
  'holdfast --version': [MAIN, '--version'],
  'holdfast --help': [MAIN, '--help'],
  'holdfast validate': [MAIN, 'validate', 'plans/orders.yaml'],
  'holdfast explain': [MAIN, 'explain', 'plans/orders.yaml'],
};

/**
 * How long the commands that need no server take, as ratios to bare Node, in CPU time of the process, which other work on the machine changes
 * least. Sources are compiled beforehand, as they are from the second command on.
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
    const seconds: Record<string, number[]> = {};
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, args] of Object.entries(COMMANDS)) {
        const taken = await cpuSecondsOf(args, cache);
        if (round > 0) seconds[name] = [...(seconds[name] ?? []), taken];
      }
    }
    const bare = median(seconds['bare Node'] ?? []);
    const results = Object.entries(seconds).map(([name, all]) => ({
      name,
      cpuSeconds: median(all),
      ratio: median(all) / bare,
    }));
    if (json) process.stdout.write(`${JSON.stringify(results)}\n`);
    for (const { name, cpuSeconds, ratio } of json ? [] : results)
      process.stdout.write(
        `${name.padEnd(20)} ${cpuSeconds.toFixed(3)} s of CPU  ${ratio.toFixed(1)} × bare Node\n`,
      );
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

/** CPU time of a Node process, which prints it itself as it ends. */
function cpuSecondsOf(args: readonly string[], cache: string): Promise<number> {
  const tell = `data:text/javascript,process.on('exit',()=>{const{user,system}=process.cpuUsage();process._rawDebug('cpu '+(user+system))})`;
  const child = spawn(process.execPath, ['--import', tell, ...args], {
    cwd: ROOT,
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let told = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    told += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      const microseconds = /^cpu (\d+)$/m.exec(told)?.[1];
      if (microseconds === undefined) reject(new Error(`holdfast ${args.join(' ')} told no time: ${told}`));
      else resolve(Number(microseconds) / 1e6);
    });
  });
}
