/** When the transfer of a plan's backups may run. Outside of it no further chunk or tablet is begun. */
export interface TransferWindow {
  /** At least one. A span that ends before it begins goes over midnight. */
  readonly spans: readonly WindowSpan[];
  /** IANA name of the zone whose clocks count. */
  readonly timezone: string;
}

/** A part of each day, by the clock: milliseconds since midnight. */
export interface WindowSpan {
  /** Inclusive. */
  readonly fromMs: number;
  /** Exclusive; at most a day. */
  readonly toMs: number;
}

/** A span as a plan has it: `22:00-05:00`. */
export function spanInWords({ fromMs, toMs }: WindowSpan): string {
  return `${clock(fromMs)}-${clock(toMs)}`;
}

function clock(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}
