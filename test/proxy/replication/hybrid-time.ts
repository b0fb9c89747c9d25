/**
 * Hybrid times: microseconds since 1970 shifted left by 12 bits, and a logical counter below (yugabyte-db src/yb/common/hybrid_time.h).
 * A slot of LSN type HYBRID_TIME has them as its LSNs (fact `server.slot-lsn`).
 */
const LOGICAL_BITS = 12n;

export function hybridOfMicros(micros: bigint): bigint {
  return micros << LOGICAL_BITS;
}

export function microsOfHybrid(hybrid: bigint): bigint {
  return hybrid >> LOGICAL_BITS;
}

/** The instant that a value of `yb_read_time` names: microseconds, or a hybrid time as `'<n> ht'`. `invalid` where it is neither. */
export function hybridOfReadTime(value: string): bigint | 'invalid' {
  const match = /^\s*(\d+)\s*(ht)?\s*$/.exec(value);
  if (match?.[1] === undefined) return 'invalid';
  return match[2] === undefined ? hybridOfMicros(BigInt(match[1])) : BigInt(match[1]);
}

/** `%X/%X`, as PostgreSQL writes an LSN. */
export function lsnText(lsn: bigint): string {
  const half = (value: bigint) => value.toString(16).toUpperCase();
  return `${half(lsn >> 32n)}/${half(lsn & 0xffff_ffffn)}`;
}

export function parseLsn(text: string): bigint | undefined {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  return match === null ? undefined : (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}
