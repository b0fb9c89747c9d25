import type { Environment } from '../engines/resolve-secret.ts';
import { defined } from '../model/defined.ts';
import { connectIn } from '../worker/connection.ts';
import { registerSearchAttributes } from '../worker/search-attributes.ts';
import type { RunPlace } from './runs.ts';

/** A connection to Temporal that runs are started on. */
export interface Temporal extends RunPlace {
  /** Closes the connection. Runs go on. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  /**
   * Where Temporal is: `TEMPORAL_ADDRESS` and what else Temporal's own environment configuration has, `HOLDFAST_TASK_QUEUE`,
   * `HOLDFAST_SIGNING_KEY_FILE`. `process.env`, or any object like it.
   */
  readonly environment: Environment;
  /** Overrides the environment's. Default: `localhost:7233`. */
  readonly address?: string;
  /** Task queue of the workers. Overrides the environment's. Default: `holdfast`. */
  readonly taskQueue?: string;
  /** Told what does not stop the work, a sentence each. */
  readonly tell?: (sentence: string) => void;
}

/** Connects to a Temporal server that runs already. */
export async function connectTo({
  environment,
  address,
  taskQueue,
  tell,
}: ConnectOptions): Promise<Temporal> {
  const { client, connection, target } = await connectIn(environment, address);
  await registerSearchAttributes(connection, target.namespace);
  return {
    client,
    taskQueue: taskQueue ?? target.taskQueue,
    ...defined({ tell }),
    close: () => connection.close(),
  };
}
