import type { PostDataBatch, PostDataUnit, Strand } from './post-data-unit.ts';

/** The least work that a batch is planned for. A batch is an activity, which costs about 50 ms and two workflow tasks. */
const LEAST_WORK_MS = 500;

/** Bounds the history of a restore with many thousands of tables. */
const MAX_BATCHES = 200;

/*
 * Estimates of how long work takes. They are rough, and no benchmark measures them directly. Only the ratio between units matters: a
 * wrong estimate makes batches uneven, nothing worse.
 */
const UNIT_MS = 2;
const ENTRY_MS = 2;
/** Bytes of a table's COPY text that a key, an index, a foreign key, VACUUM or a count processes per millisecond. */
const BYTES_PER_MS = 150_000;

/**
 * Divides strands, in order, into batches of about equal expected work, so that tables that are loaded one after another share a
 * batch. A strand with enough work for a batch gets its own. At most one batch has less than half a second of work: the one that
 * takes the rest. Pure, so the result is the same on every worker.
 */
export function asBatches(strands: readonly Strand[]): readonly PostDataBatch[] {
  const work = strands.map(expectedMs);
  const total = sum(work);
  // Twice the average of 200 batches: at most 100 strands can have this much, and the small ones fill at most 100 more batches.
  const least = Math.max(LEAST_WORK_MS, (2 * total) / MAX_BATCHES);
  const large = strands.filter((_, place) => at(work, place) >= least);
  const small = strands.filter((_, place) => at(work, place) < least);
  return [...large.map((strand) => [...strand]), ...evenly(small, least)];
}

/** Cuts strands into as many runs of about equal work as possible with at least `least` each; into one run when all together have less. */
function evenly(strands: readonly Strand[], least: number): readonly PostDataBatch[] {
  const work = strands.map(expectedMs);
  const total = sum(work);
  const count = Math.max(1, Math.floor(total / least));
  const batches: PostDataUnit[][] = [];
  let before = 0;
  for (const [place, strand] of strands.entries()) {
    // A strand belongs to the batch that contains its middle.
    const middle = before + at(work, place) / 2;
    const batch = Math.min(count - 1, Math.floor((middle / total) * count));
    const units = batches[batch] ?? [];
    units.push(...strand);
    batches[batch] = units;
    before += at(work, place);
  }
  return batches;
}

/** Expected duration of a strand, milliseconds. */
function expectedMs(strand: Strand): number {
  return sum(strand.map(expectedMsOfUnit));
}

function expectedMsOfUnit({ entries, vacuum, count, bytes = 0 }: PostDataUnit): number {
  const passes = entries.length + (vacuum === undefined ? 0 : 1) + (count === undefined ? 0 : 1);
  return UNIT_MS + entries.length * ENTRY_MS + (passes * bytes) / BYTES_PER_MS;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function at(values: readonly number[], place: number): number {
  return values[place] ?? 0;
}
