import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Dice } from '../../crash/dice.ts';
import type { Stage } from './stage.ts';

/** What a trial kills. `yb-admin` is a child of the worker; `gateway` is the S3 server that holds the repository. */
export const KINDS = ['agent', 'worker', 'temporal', 'yb-admin', 'gateway'] as const;
export type Kind = (typeof KINDS)[number];

export interface Kill {
  readonly kind: Kind;
  /** What exactly was killed: `agent 2`, `yb-admin create_database_snapshot`. */
  readonly what: string;
}

/** How long a killed server is away before it is started again. */
const AWAY_MS = 1_500;
const ATTEMPTS_TO_RESTART = 10;
const LOOK_AGAIN_MS = 20;
/** yb-admin runs for a fraction of a second at a time, so a kill waits for the next one. */
const PATIENCE_FOR_CHILD_MS = 10_000;

/**
 * `kill -9` of one process of this kind. A server is started again, as a service manager would; a `yb-admin` is the worker's to run
 * again. Undefined: the run ended, or ten seconds passed, before there was a `yb-admin` to kill.
 */
export async function killOne(
  stage: Stage,
  kind: Kind,
  dice: Dice,
  isOver: () => boolean,
): Promise<Kill | undefined> {
  if (kind === 'yb-admin') {
    const what = await killYbAdmin(stage, isOver);
    return what === undefined ? undefined : { kind, what };
  }
  const { what, process } = victimOf(stage, kind, dice);
  await process.kill9();
  await sleep(AWAY_MS);
  for (let attempts = 1; ; attempts += 1) {
    try {
      await process.restart();
      return { kind, what };
    } catch (error) {
      // A worker can't start while Temporal is still on its way.
      if (attempts === ATTEMPTS_TO_RESTART) throw error;
      await sleep(1_000);
    }
  }
}

interface Victim {
  readonly what: string;
  readonly process: { kill9(): Promise<void>; restart(): Promise<void> };
}

function victimOf(stage: Stage, kind: Exclude<Kind, 'yb-admin'>, dice: Dice): Victim {
  switch (kind) {
    case 'worker':
      return { what: 'worker', process: stage.worker };
    case 'temporal':
      return { what: 'temporal', process: stage.temporal };
    case 'gateway':
      if (stage.gateway === undefined) throw new Error('the stage was started without an S3 gateway');
      return { what: 'gateway', process: stage.gateway };
    case 'agent': {
      const [number, process] = dice.pick([...stage.agents.entries()]);
      return { what: `agent ${number}`, process };
    }
  }
}

/** Kills the first `yb-admin` that is seen among the worker's children. Returns what it was doing. */
async function killYbAdmin(stage: Stage, isOver: () => boolean): Promise<string | undefined> {
  const deadline = Date.now() + PATIENCE_FOR_CHILD_MS;
  while (!isOver() && Date.now() < deadline) {
    for (const { pid, operation } of await ybAdmins(stage.worker.pid)) {
      try {
        process.kill(pid, 'SIGKILL');
        return `yb-admin ${operation}`;
      } catch (error) {
        // It ended between our look and the signal: it doesn't count.
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
      }
    }
    await sleep(LOOK_AGAIN_MS);
  }
  return undefined;
}

/** The `yb-admin` processes of a worker, which is the leader of its process group. */
async function ybAdmins(
  worker: number | undefined,
): Promise<readonly { readonly pid: number; readonly operation: string }[]> {
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-e', '-o', 'pid=,pgid=,stat=,args=']);
  return stdout.split('\n').flatMap((line) => {
    const [, pid, group, state = '', args = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    const [, operation] = /yb-admin(?:\.mjs)? --master_addresses=\S+ (?:--\S+ )*(\S+)/.exec(args) ?? [];
    const isOurs = Number(group) === worker && operation !== undefined;
    // A zombie has ended already.
    return isOurs && !state.startsWith('Z') ? [{ pid: Number(pid), operation }] : [];
  });
}
