import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * How much garbage may gather before a whole heap is collected, in percent of what is alive. V8's own rule fits neither extreme. It
 * collects the heap of a restoring worker (some 50 MiB alive) for every object, since what a transfer reads counts as garbage: a third of
 * its CPU, as measured. And it lets the heaps of a large universe's workflows grow past 512 MiB.
 */
const HEAP_GROWING_PERCENT = 100;

/**
 * Applies to every heap of this process, also those of threads, since V8 reads the flags at each collection. One thread collects young
 * objects: few of them are alive, and coordinating helpers cost more than they saved (measured: 4 % of a backup's CPU).
 */
export function boundGarbage(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  setFlagsFromString('--no-parallel-scavenge');
}

const LOOK_EVERY_MS = 60_000;
/** A worker that waits takes 0.2 % of a core (docs/scaling.md). */
const IDLE_SHARE = 0.02;
/** What the last run used is forgotten two minutes after it (`repository/bounded-cache.ts`). */
const IDLE_LOOKS = 3;

/**
 * Collects the main thread's heap once after this process has become idle. V8 collects when something is allocated, so that a worker with nothing to do would keep
 * the garbage of its last run for hours.
 */
export function collectWhenIdle(): void {
  const collect = garbageCollector();
  let before = process.cpuUsage();
  let idleLooks = 0;
  setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    before = process.cpuUsage();
    const isIdle = user + system < LOOK_EVERY_MS * 1_000 * IDLE_SHARE;
    idleLooks = isIdle ? idleLooks + 1 : 0;
    if (idleLooks === IDLE_LOOKS) collect();
  }, LOOK_EVERY_MS).unref();
}

/** V8 gives it to contexts that are made while the flag is set, and so to none that workflows run in. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  try {
    return runInNewContext('gc');
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}
