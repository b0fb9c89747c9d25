import type { PostDataBatch, PostDataUnit, Strand } from './post-data-unit.ts';

/** A batch is an activity, which costs about 50 ms and two workflow tasks. So no batch is planned for less work than this. */
const LEAST_WORK_MS = 500;

/** This bound keeps the history of a restore with many thousands of tables short. */
const MAX_BATCHES = 200;

/*
 * What work is expected to take: rough estimates, which no benchmark measures by themselves. Only the relation of one unit to another
 * matters. A wrong one makes batches uneven, and nothing worse.
 */
const UNIT_MS = 2;
const ENTRY_MS = 2;
/** Bytes of a table's COPY text that a key, an index, a foreign key, VACUUM or a count passes over in a millisecond. */
const BYTES_PER_MS = 150_000;

/**
 * Batches of about equal expected work, in the order of the strands, so that tables that are loaded one after another are in the same
 * batch. A strand with as much work as a batch needs is a batch of its own. At most one batch has less than half a second of work:
 * what is left when all others are full. Pure, and so the same on every worker.
 */
export function asBatches(strands: readonly Strand[]): readonly PostDataBatch[] {
  const work = strands.map(expectedMs);
  const total = sum(work);
  // With 200 batches each may have half of its share by itself.
  const least = Math.max(LEAST_WORK_MS, (2 * total) / MAX_BATCHES);
  const large = strands.filter((_, place) => at(work, place) >= least);
  const small = strands.filter((_, place) => at(work, place) < least);
  return [...large.map((strand) => [...strand]), ...evenly(small, least)];
}

/** Cuts strands into as many runs of about equal work as give each at least `least`; one run where all together have less. */
function evenly(strands: readonly Strand[], least: number): readonly PostDataBatch[] {
  const work = strands.map(expectedMs);
  const total = sum(work);
  const count = Math.max(1, Math.floor(total / least));
  const batches: PostDataUnit[][] = [];
  let before = 0;
  for (const [place, strand] of strands.entries()) {
    // A strand belongs to the batch in which its middle lies.
    const middle = before + at(work, place) / 2;
    const batch = Math.min(count - 1, Math.floor((middle / total) * count));
    const units = batches[batch] ?? [];
    units.push(...strand);
    batches[batch] = units;
    before += at(work, place);
  }
  return batches;
}

/** Milliseconds that a strand is expected to take. */
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
