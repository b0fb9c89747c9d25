import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../model/errors.ts';
import { freePort } from '../../parts/ports.ts';
import { type ServerProcess, startServer } from '../../parts/process.ts';

const WATCH_EVERY_MS = 500;
const START_AGAIN_WITHIN_MS = 120_000;

/** Worker processes, each started again whenever it is gone, as a service manager would. */
export class Workers {
  readonly #workers: readonly ServerProcess[];
  readonly #watch: NodeJS.Timeout;
  /** Workers that are being started again, by index. */
  readonly #starting = new Map<number, Promise<void>>();
  readonly #ownExits: string[] = [];
  #stopped = false;

  private constructor(workers: readonly ServerProcess[]) {
    this.#workers = workers;
    this.#watch = setInterval(() => this.#restartMissing(), WATCH_EVERY_MS).unref();
  }

  static async start(
    count: number,
    environment: Readonly<Record<string, string>>,
    logFolder: string,
  ): Promise<Workers> {
    const started = Array.from({ length: count }, (_, index) =>
      startWorker(index, environment, `${logFolder}/worker-${index}.log`),
    );
    return new Workers(await Promise.all(started));
  }

  get count(): number {
    return this.#workers.length;
  }

  /** Signals the worker alone, not what it has started; it is started again `awayMs` after its end. Undefined if it was down already. */
  async kill(
    index: number,
    awayMs: number,
    signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL',
  ): Promise<number | undefined> {
    const worker = this.#workers[index];
    const pid = worker?.pid;
    if (worker === undefined || pid === undefined || this.#starting.has(index)) return undefined;
    const ended = worker.waitForExit();
    this.#startAgain(
      index,
      ended.then(() => sleep(awayMs)),
    );
    process.kill(pid, signal);
    await ended;
    return pid;
  }

  /** Stops the worker's time for a while: others take over what it does, and then it goes on, knowing nothing. */
  async stall(index: number, forMs: number): Promise<void> {
    const pid = this.#workers[index]?.pid;
    if (pid === undefined) return;
    process.kill(pid, 'SIGSTOP');
    await sleep(forMs);
    process.kill(pid, 'SIGCONT');
  }

  /** Every worker runs. */
  async ready(): Promise<void> {
    this.#restartMissing();
    await Promise.all(this.#starting.values());
  }

  /** Workers that ended without being killed, with the end of what they said, since the last call. */
  takeOwnExits(): readonly string[] {
    return this.#ownExits.splice(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#watch);
    await Promise.allSettled(this.#starting.values());
    await Promise.all(this.#workers.map((worker) => worker.stop()));
  }

  #restartMissing(): void {
    for (const [index, worker] of this.#workers.entries()) {
      if (worker.pid !== undefined || this.#starting.has(index)) continue;
      this.#ownExits.push(`worker ${index} ended by itself (${worker.logFile})`);
      this.#startAgain(index, Promise.resolve());
    }
  }

  #startAgain(index: number, after: Promise<unknown>): void {
    const restart = async (): Promise<void> => {
      await after;
      const deadline = Date.now() + START_AGAIN_WITHIN_MS;
      while (!this.#stopped) {
        try {
          await this.#workers[index]?.restart();
          return;
        } catch (error) {
          // Temporal may be down just now; a service manager would go on trying.
          if (Date.now() < deadline) continue;
          this.#ownExits.push(`worker ${index} can't be started: ${messageOf(error)}`);
          return;
        }
      }
    };
    const restarting = restart().finally(() => this.#starting.delete(index));
    this.#starting.set(index, restarting);
  }
}

async function startWorker(
  index: number,
  environment: Readonly<Record<string, string>>,
  logFile: string,
): Promise<ServerProcess> {
  const health = await freePort();
  return startServer({
    name: `worker ${index}`,
    command: process.execPath,
    args: ['cli/main.ts', 'worker', '--lanes', '4', '--health', String(health)],
    inherits: 'everything',
    environment,
    logFile,
    checkReady: async () => {
      const answer = await fetch(`http://127.0.0.1:${health}/`);
      if (!answer.ok) throw new Error(await answer.text());
    },
  });
}
