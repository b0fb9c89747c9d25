import { type HoldfastError, permanent } from '../model/errors.ts';
import type { Cancellable, Store } from './store.ts';

/** Ages and grace times compare this machine's clock with the store's. If the two differ by more than this, neither can be trusted. */
const FAR_OFF_MS = 60 * 60_000;

interface ClockComparison {
  readonly here: Date;
  /** When the store says that the object was written. */
  readonly there: Date;
  readonly isFarOff: boolean;
}

/**
 * Compares this machine's clock with the store's, by an object that was just written.
 *
 * @returns undefined where the object is already gone
 */
export async function compareClocks(
  store: Store,
  key: string,
  here: Date,
  options: Cancellable = {},
): Promise<ClockComparison | undefined> {
  for await (const { key: found, modifiedAt: there } of store.list(key, options)) {
    if (found !== key) continue;
    return { here, there, isFarOff: Math.abs(here.getTime() - there.getTime()) > FAR_OFF_MS };
  }
  return undefined;
}

/** The error for clocks that differ too much. @param consequence what doesn't work until they are set, one sentence */
export function clockOff({ here, there }: ClockComparison, consequence: string): HoldfastError {
  return permanent(
    'CLOCK_OFF',
    `${here.toISOString()} here and ${there.toISOString()} there: more than an hour apart`,
    `Set the clocks, best by NTP; ${consequence}`,
  );
}
