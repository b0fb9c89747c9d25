import { useBundledDependencies } from '../../cli/bundled-dependencies.ts';
import packageJson from '../../package.json' with { type: 'json' };

/**
 * A process that runs commands of `holdfast`, one after another, as `cli/main.ts` runs one: `holdfast.ts` sends it what a process is started with, and gets what
 * one leaves. A command needs a second of CPU time to load Temporal's client, the repository and so on, and here only the first one does.
 */
export interface CommandCall {
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly folder: string;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

useBundledDependencies(packageJson.dependencies);
const { runCommandLine } = await import('../../cli/command-line.ts');

// What a command left open must not keep the host, just as it must not keep a command.
process.once('disconnect', () => process.exit());
process.on('message', (call: CommandCall) => {
  void run(call).then((result) => process.send?.(result));
});

async function run({ args, environment, folder }: CommandCall): Promise<CommandResult> {
  // Changed in place, since code holds on to `process.env` itself.
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  process.chdir(folder);
  process.exitCode = undefined;
  const [stdout, stderr] = [collect(process.stdout), collect(process.stderr)];
  try {
    await runCommandLine(args);
    return { code: Number(process.exitCode ?? 0), stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    stdout.stop();
    stderr.stop();
  }
}

/** Keeps what is written to a stream, instead of writing it. */
function collect(stream: NodeJS.WriteStream): { text(): string; stop(): void } {
  const { write } = stream;
  const parts: Buffer[] = [];
  stream.write = (
    part: string | Uint8Array,
    encodingOrDone?: BufferEncoding | ((error?: Error | null) => void),
    done?: (error?: Error | null) => void,
  ) => {
    const encoding = typeof encodingOrDone === 'string' ? encodingOrDone : undefined;
    parts.push(typeof part === 'string' ? Buffer.from(part, encoding) : Buffer.from(part));
    const written = typeof encodingOrDone === 'function' ? encodingOrDone : done;
    if (written !== undefined) process.nextTick(written);
    return true;
  };
  return {
    text: () => Buffer.concat(parts).toString('utf8'),
    stop: () => {
      stream.write = write;
    },
  };
}
