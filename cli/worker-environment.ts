import { createHmac } from 'node:crypto';
import { DEFAULT_TASK_QUEUE } from '../model/task-queue.ts';

/**
 * Decides which embedded worker serves a command. A worker resolves secrets from the environment that it was started with. So a command runs
 * on a worker whose environment has the same values of the variables that count: those that the command's plans name, and those that clients
 * of stores, databases and Temporal read by themselves. Nothing else counts, so a new terminal, `NO_COLOR=1` or tmux doesn't start a worker.
 */

/** Digests of a worker's variables, by name. They don't reveal the values. */
export type Fingerprint = Readonly<Record<string, string>>;

/** Variables that programs read even if no plan names them. */
const FAMILIES = /^(?:AWS_|PG|TEMPORAL_|HOLDFAST_)/;

/**
 * Variables of these families that don't count: they say where a command finds the server, and how it talks to people. An embedded worker is
 * of no deployment.
 */
const OF_THE_COMMAND: readonly string[] = [
  'HOLDFAST_STATE_DIR',
  'HOLDFAST_UI_URL',
  'HOLDFAST_DEBUG',
  'HOLDFAST_SIGNING_KEY_FILE',
  'HOLDFAST_DEPLOYMENT',
  'HOLDFAST_BUILD_ID',
];

/**
 * Digests of an environment. @param key random bytes of this installation, so that nobody can look digests up in a table of likely values
 */
export function fingerprintOf(environment: NodeJS.ProcessEnv, key: Buffer): Fingerprint {
  const digests: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && value !== '')
      digests[name] = createHmac('sha256', key).update(value).digest('base64');
  }
  return digests;
}

interface Choice {
  readonly environment: NodeJS.ProcessEnv;
  /** Names of the variables that the command's plans name. */
  readonly variables: readonly string[];
  /** The running workers, by task queue. */
  readonly workers: Readonly<Record<string, Fingerprint>>;
  readonly key: Buffer;
  /** Task queue of the command's plan, if the plan is applied. */
  readonly applied?: string;
}

/** The task queue of the worker that serves a command. That worker may still have to be started. */
export function chooseQueue({ environment, variables, workers, key, applied }: Choice): string {
  const own = fingerprintOf(environment, key);
  const applies = applied === undefined ? undefined : workers[applied];
  // A variable that isn't set here doesn't ask for another worker. One that is set to another value does.
  if (applied !== undefined && (applies === undefined || agrees(own, applies, variables))) return applied;
  const found = Object.entries(workers).find(([, worker]) =>
    counting(variables, own, worker).every((name) => own[name] === worker[name]),
  );
  return found?.[0] ?? newQueue(environment, variables, key);
}

/** Names of the variables that a plan, or any part of one, refers to. Sorted. */
export function variablesOf(plan: unknown): readonly string[] {
  const names = new Set<string>();
  collect(plan, names);
  return [...names].sort();
}

function agrees(own: Fingerprint, worker: Fingerprint, variables: readonly string[]): boolean {
  return counting(variables, own).every((name) => own[name] === undefined || own[name] === worker[name]);
}

function counting(variables: readonly string[], ...fingerprints: readonly Fingerprint[]): readonly string[] {
  const families = fingerprints
    .flatMap((fingerprint) => Object.keys(fingerprint))
    .filter((name) => FAMILIES.test(name) && !OF_THE_COMMAND.includes(name));
  return [...new Set([...variables, ...families])].sort();
}

/**
 * The task queue of a new worker. It depends only on the values, so the same environment gets the same queue after everything was stopped.
 */
function newQueue(environment: NodeJS.ProcessEnv, variables: readonly string[], key: Buffer): string {
  // Keyed, since everybody who sees Temporal sees the name, and secrets are among the values.
  const hash = createHmac('sha256', key);
  for (const name of counting(variables, environmentNames(environment)))
    hash.update(`${name}=${environment[name] ?? ''}\0`);
  return `${environment.HOLDFAST_TASK_QUEUE ?? DEFAULT_TASK_QUEUE}-${hash.digest('hex').slice(0, 12)}`;
}

function environmentNames(environment: NodeJS.ProcessEnv): Fingerprint {
  const set = Object.entries(environment).filter(([, value]) => value !== undefined && value !== '');
  return Object.fromEntries(set.map(([name]) => [name, '']));
}

function collect(value: unknown, names: Set<string>): void {
  if (typeof value !== 'object' || value === null) return;
  const entries = Object.entries(value);
  const [only, ...others] = entries;
  if (only !== undefined && others.length === 0 && only[0] === 'env' && typeof only[1] === 'string') {
    names.add(only[1]);
    return;
  }
  for (const [, inner] of entries) collect(inner, names);
}
