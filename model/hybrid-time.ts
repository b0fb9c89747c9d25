/*
 * YugabyteDB orders commits by hybrid time: microseconds since 1970, shifted left by 12 bits, and a counter for what happens within one of
 * them. A replication slot of LSN type HYBRID_TIME gives a transaction's commit time as its position, so an instant is a cut of the stream.
 */

const COUNTER_BITS = 12n;

/** Microseconds since 1970. */
export function microsOfHybridTime(hybridTime: bigint): bigint {
  return hybridTime >> COUNTER_BITS;
}

/**
 * The first hybrid time that a read at `micros` does not see: YugabyteDB reads `yb_read_time = <micros>` at exactly `micros << 12`, so a commit
 * of the same microsecond with a counter above 0 is not in it.
 */
export function endOfInstant(micros: bigint): bigint {
  return (micros << COUNTER_BITS) + 1n;
}

/** The last microsecond of which everything lies before the position: what commits in a later one may come at or behind it. */
export function wholeMicrosBefore(position: bigint): bigint {
  return (position >> COUNTER_BITS) - 1n;
}
