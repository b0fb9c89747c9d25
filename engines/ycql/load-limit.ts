import { setTimeout as sleep } from 'node:timers/promises';
import type { YcqlSource } from '../../model/pipeline.ts';

/** Default. Writes are small batches, many of which a node answers in the time of one page that it reads. */
const WRITES_IN_FLIGHT = 64;
/** Number of counters. Two nodes that share one by chance share its bound. */
const NODES = 255;
const UNDER_WAY_AT = 8;
const ENDED_AT = UNDER_WAY_AT + 4 * NODES;
/** Longer than any request takes. If none ended for so long, a thread died, and those counted were its own. */
const ABANDONED_AFTER_MS = 60_000;

/** Memory of one limit, which may be handed to other threads. */
export function limitMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(ENDED_AT + 4 * NODES);
}

/** The kinds of requests, which are counted apart. */
export type RequestKind = 'read' | 'write';

/** Limits the load of all threads with the same memory on one cluster: requests under way on each node, and rows per second. */
export class LoadLimit {
  /** The most requests under way on one node. */
  readonly perNode: Readonly<Record<RequestKind, number>>;
  readonly #rowsPerSecond: number | undefined;
  /** When all rows so far are paid for, in nanoseconds of `process.hrtime`, a clock that all threads share. */
  readonly #paidUntil: BigInt64Array;
  readonly #underWay: Int32Array;
  /** Requests that ended so far, modulo 2³². */
  readonly #ended: Int32Array;

  constructor(load: YcqlSource['load'], memory: SharedArrayBuffer) {
    const { inFlightPerNode, writesInFlightPerNode = WRITES_IN_FLIGHT, rowsPerSecond } = load;
    this.perNode = { read: inFlightPerNode, write: writesInFlightPerNode };
    this.#rowsPerSecond = rowsPerSecond;
    this.#paidUntil = new BigInt64Array(memory, 0, 1);
    this.#underWay = new Int32Array(memory, UNDER_WAY_AT, NODES);
    this.#ended = new Int32Array(memory, ENDED_AT, NODES);
  }

  /** Requests of a kind under way on a node. */
  busy(kind: RequestKind, node: string): number {
    return Atomics.load(this.#underWay, counterOf(kind, node));
  }

  /** Runs a request to a node once fewer than the limit are under way there. */
  async request<T>(kind: RequestKind, node: string, send: () => Promise<T>): Promise<T> {
    const counter = counterOf(kind, node);
    await this.#enter(counter, this.perNode[kind]);
    try {
      return await send();
    } finally {
      Atomics.sub(this.#underWay, counter, 1);
      Atomics.add(this.#ended, counter, 1);
      Atomics.notify(this.#underWay, counter, 1);
    }
  }

  async #enter(counter: number, most: number): Promise<void> {
    for (;;) {
      const busy = Atomics.load(this.#underWay, counter);
      if (busy < most) {
        if (Atomics.compareExchange(this.#underWay, counter, busy, busy + 1) === busy) return;
        continue;
      }
      const ended = Atomics.load(this.#ended, counter);
      const woken = await Atomics.waitAsync(this.#underWay, counter, busy, ABANDONED_AFTER_MS).value;
      if (woken === 'timed-out' && Atomics.load(this.#ended, counter) === ended) {
        Atomics.compareExchange(this.#underWay, counter, busy, 0);
      }
    }
  }

  /** Waits as long as `rows` rows more must take, after those that other threads asked for before. */
  async pay(rows: number, signal: AbortSignal): Promise<void> {
    if (this.#rowsPerSecond === undefined || rows === 0) return;
    const price = BigInt(Math.ceil((rows * 1e9) / this.#rowsPerSecond));
    for (;;) {
      const now = process.hrtime.bigint();
      const before = Atomics.load(this.#paidUntil, 0);
      const owed = before - now;
      const after = now + price + (owed > 0n ? owed : 0n);
      if (Atomics.compareExchange(this.#paidUntil, 0, before, after) !== before) continue;
      const waitMs = Number(after - now) / 1e6;
      if (waitMs > 1) await sleep(waitMs, undefined, { signal });
      return;
    }
  }
}

function counterOf(kind: RequestKind, node: string): number {
  let hash = kind === 'read' ? 0 : 1;
  for (let at = 0; at < node.length; at += 1) hash = (Math.imul(hash, 31) + node.charCodeAt(at)) >>> 0;
  return hash % NODES;
}
