import { setFlagsFromString } from 'node:v8';

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
