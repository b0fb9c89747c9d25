import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Toxic } from '../../parts/toxiproxy.ts';
import type { Dice } from './dice.ts';
import type { Path, PlanOptions, Stage } from './stage.ts';

/** What a fault sees of the operation it strikes. */
export interface Scene {
  readonly stage: Stage;
  readonly dice: Dice;
  /** Waits until some moment of the operation; false when it has ended before. */
  moment(): Promise<boolean>;
  /** Asks Temporal to cancel the operation. */
  cancel(): Promise<void>;
  /** Notes something done to the parts, with its moment. */
  struck(what: string): void;
}

export interface Fault {
  readonly name: string;
  /** Left out: on both. */
  readonly path?: Path;
  readonly backup?: (scene: Scene) => Promise<void>;
  readonly restore?: (scene: Scene) => Promise<void>;
  /** It is there before the operation starts, so it can't come too late. */
  readonly fromStart?: boolean;
  /** Code of the error with which the backup fails; left out, it completes. */
  readonly fails?: RegExp;
  /** The same for the restore. */
  readonly restoreFails?: RegExp;
  /** Prepares the plan; what it returns is undone by `cleanUp`. */
  readonly plan?: (stage: Stage) => Promise<PlanOptions>;
  readonly cleanUp?: (stage: Stage) => Promise<void>;
  /** The bytes sent again may be more than a chunk a slot: the network broke while they were sent. */
  readonly breaksTransfers?: boolean;
  /** The repository can't be cleaned, because it is the repository that fails. */
  readonly repositoryGone?: boolean;
  /** Two backups at once. */
  readonly twice?: boolean;
}

/** `kill -9` of a worker, up to `times` times, each at a moment of its own; sometimes of all at once. */
export function workerKills(times: number) {
  return async (scene: Scene): Promise<void> => {
    const { stage, dice } = scene;
    for (let time = 0; time < times && (await scene.moment()); time += 1) {
      const all = dice.chance(0.3);
      const first = Math.floor(dice.number() * stage.workers.count);
      const awayMs = dice.between(0, 1_500);
      const victims = all ? Array.from({ length: stage.workers.count }, (_, index) => index) : [first];
      const pids = await Promise.all(victims.map((index) => stage.workers.kill(index, awayMs)));
      const killed = pids.filter((pid) => pid !== undefined);
      for (const pid of killed) scene.struck(`kill -9 of worker ${pid}`);
    }
  };
}

/** Longer than any backup takes to read half of a small bank. */
const HALF_WAY_WITHIN_MS = 120_000;

/** `kill -9` of all workers at once when the database has sent half of the quiet tables' rows. */
async function killHalfWay({ stage, struck }: Scene): Promise<void> {
  const deadline = Date.now() + HALF_WAY_WITHIN_MS * stage.patience;
  while (stage.relay.received() < (stage.megabytes * 1_000_000) / 2 && Date.now() < deadline) await sleep(10);
  const readBytes = stage.relay.received();
  const workers = Array.from({ length: stage.workers.count }, (_, index) => index);
  const pids = await Promise.all(workers.map((index) => stage.workers.kill(index, 0)));
  const killed = pids.filter((pid) => pid !== undefined);
  if (killed.length > 0) {
    struck(`kill -9 of workers ${killed.join(', ')}, ${(readBytes / 1e6).toFixed(1)} MB read`);
  }
}

/** SIGTERM, as a deployment sends it. */
async function stopWorkers({ stage, moment, struck }: Scene): Promise<void> {
  for (let index = 0; index < stage.workers.count && (await moment()); index += 1) {
    const pid = await stage.workers.kill(index, 0, 'SIGTERM');
    if (pid !== undefined) struck(`worker ${pid} is told to stop`);
  }
}

/** Longer than the heartbeat timeout, so that a worker that was taken for dead comes back. */
const STALL_MS = [16_000, 28_000] as const;

async function stallWorker({ stage, dice, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  const index = Math.floor(dice.number() * stage.workers.count);
  struck(`worker ${index} stands still`);
  await stage.workers.stall(index, dice.between(...STALL_MS));
}

async function killTemporal({ stage, dice, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  struck('kill -9 of Temporal');
  await stage.temporal.kill9();
  await sleep(dice.between(0, 3_000));
  await stage.temporal.restart();
}

async function killGateway({ stage, dice, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  struck('kill -9 of the S3 gateway');
  await stage.gateway.kill9();
  await sleep(dice.between(500, 6_000));
  await stage.gateway.restart();
}

async function cutLink({ stage, dice, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  struck('the connections to S3 are cut');
  await stage.link.down();
  await sleep(dice.between(500, 8_000));
  await stage.link.up();
}

function poisonLink(toxic: Toxic, what: string, probability = 1) {
  return async ({ stage, dice, moment, struck }: Scene): Promise<void> => {
    if (!(await moment())) return;
    struck(what);
    const direction = dice.pick(['upstream', 'downstream'] as const);
    const name = await stage.link.addToxic(toxic, { direction, probability });
    await sleep(dice.between(1_000, 6_000));
    await stage.link.removeToxic(name);
  };
}

async function refuseRequests({ stage, dice, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  struck('S3 answers 503 to most requests');
  stage.gate.refuse(dice.between(0.4, 1), () => dice.number());
  await sleep(dice.between(1_000, 8_000));
  stage.gate.refuse(0, () => 1);
}

async function restartPostgres({ stage, dice, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  const mode = dice.pick(['fast', 'immediate'] as const);
  struck(`PostgreSQL is restarted (${mode})`);
  await stage.postgres.restart(mode);
}

async function killDialect({ stage, dice, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  struck('kill -9 of the node that the sessions are on');
  await stage.dialect?.kill9();
  await sleep(dice.between(0, 2_000));
  await stage.dialect?.restart();
}

async function changePassword({ stage, moment, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  struck('the password is changed');
  await stage.setPassword('another one');
}

async function cancel({ moment, cancel: ask, struck }: Scene): Promise<void> {
  if (!(await moment())) return;
  struck('it is cancelled');
  await ask();
}

/** Several faults, one after another. */
async function storm(scene: Scene): Promise<void> {
  for (let count = 0; count < 3; count += 1) {
    const strike = scene.dice.pick([
      workerKills(1),
      killTemporal,
      killGateway,
      cutLink,
      refuseRequests,
      restartPostgres,
    ]);
    await strike(scene);
  }
}

const SMALL_DISK = 'small-disk';

async function mountSmallDisk(stage: Stage): Promise<PlanOptions> {
  const directory = join(stage.scratch.path, SMALL_DISK);
  await mkdir(directory, { recursive: true });
  // Compressed, the bank takes about a quarter of its size.
  const size = `size=${Math.ceil(stage.megabytes / 10)}m`;
  await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', directory]);
  return { directory };
}

async function unmountSmallDisk(stage: Stage): Promise<void> {
  await promisify(execFile)('umount', [join(stage.scratch.path, SMALL_DISK)]);
}

/** What is done to the parts, and how the backup must end. */
export const FAULTS: readonly Fault[] = [
  { name: 'none' },
  { name: 'worker-half-way', path: 'yugabytedb', backup: killHalfWay },
  { name: 'worker-once', backup: workerKills(1), restore: workerKills(1) },
  { name: 'worker', backup: workerKills(3), restore: workerKills(3) },
  { name: 'worker-stop', backup: stopWorkers, restore: stopWorkers },
  { name: 'worker-stalls', backup: stallWorker, restore: stallWorker },
  { name: 'temporal', backup: killTemporal, restore: killTemporal },
  { name: 'gateway', backup: killGateway, restore: killGateway, breaksTransfers: true },
  { name: 's3-cut', backup: cutLink, restore: cutLink, breaksTransfers: true },
  {
    name: 's3-reset',
    backup: poisonLink({ type: 'reset_peer', afterMs: 50 }, 'connections to S3 are reset'),
    restore: poisonLink({ type: 'reset_peer', afterMs: 50 }, 'connections to S3 are reset'),
    breaksTransfers: true,
  },
  {
    name: 's3-slow',
    backup: poisonLink({ type: 'bandwidth', kilobytesPerSecond: 300 }, 'S3 is slow'),
    restore: poisonLink({ type: 'bandwidth', kilobytesPerSecond: 300 }, 'S3 is slow'),
    breaksTransfers: true,
  },
  {
    name: 's3-short',
    backup: poisonLink({ type: 'limit_data', bytes: 300_000 }, 'connections to S3 end in the middle'),
    restore: poisonLink({ type: 'limit_data', bytes: 300_000 }, 'connections to S3 end in the middle'),
    breaksTransfers: true,
  },
  { name: 's3-503', backup: refuseRequests, restore: refuseRequests, breaksTransfers: true },
  { name: 'postgres', backup: restartPostgres, restore: restartPostgres },
  { name: 'node', path: 'yugabytedb', backup: killDialect, restore: killDialect },
  { name: 'storm', backup: storm, restore: storm, breaksTransfers: true },
  { name: 'cancelled', backup: cancel, fails: /^CANCELLED$/ },
  { name: 'restore-cancelled', restore: cancel, restoreFails: /^CANCELLED$/ },
  {
    name: 'wrong-password',
    fromStart: true,
    async backup({ stage, struck }) {
      await stage.sayPassword('wrong');
      struck('the password is wrong from the start');
    },
    fails: /^YSQL_/,
  },
  { name: 'password-changes', backup: changePassword, fails: /^YSQL_/ },
  {
    name: 'no-bucket',
    fromStart: true,
    plan: async () => ({ bucket: 'nowhere' }),
    async backup({ struck }) {
      struck('there is no such bucket');
    },
    fails: /^STORE_NO_BUCKET$/,
    repositoryGone: true,
  },
  {
    name: 'disk-full',
    fromStart: true,
    plan: mountSmallDisk,
    cleanUp: unmountSmallDisk,
    async backup({ struck }) {
      struck('the disk is too small');
    },
    fails: /^STORE_FULL$/,
  },
  {
    name: 'two-at-once',
    fromStart: true,
    twice: true,
    async backup({ struck }) {
      struck('two backups of the plan at once');
    },
  },
];
