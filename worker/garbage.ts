import { setFlagsFromString } from 'node:v8';

/**
 * How much garbage, in percent of what is alive, gathers before a whole heap is collected. By V8's own rule a restoring worker's, of
 * which some 50 MiB are alive, is collected with every object, since what a transfer reads counts as garbage (measured: a third of
 * its CPU), while those of the workflows of a large universe grow past 512 MiB.
 */
const HEAP_GROWING_PERCENT = 100;

/**
 * For every heap of this process, those of threads too: V8 reads the flags at each collection. Young objects are collected by one
 * thread each: there is little alive among them, and the helpers' agreement cost more than they took over (measured: 4 % of a
 * backup's CPU).
 */
export function boundGarbage(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  setFlagsFromString('--no-parallel-scavenge');
}
