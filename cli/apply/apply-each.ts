import { describeError, type ErrorDocument } from '../../library/errors.ts';
import { mapBounded } from '../../repository/bounded.ts';

/** How one plan's change ended. Field names are those of `apply --json`. */
export type Outcome = { readonly plan: string } & (
  | { readonly outcome: 'applied' }
  | { readonly outcome: 'failed'; readonly error: ErrorDocument }
  | { readonly outcome: 'not tried' }
);

/** Failures of the server. Every later plan would fail in the same way. */
const OF_THE_SERVER: readonly string[] = ['TEMPORAL_UNREACHABLE', 'TEMPORAL_DENIED'];

/** True if Temporal itself failed, so that the failure says nothing about the plan. */
export function isOfTheServer({ code }: ErrorDocument): boolean {
  return OF_THE_SERVER.includes(code);
}

/**
 * Makes changes, `atOnce` at once, and gives their outcomes in their order. A plan that fails doesn't stop the others, unless the server
 * itself fails: then no further one is begun. Never throws what `make` throws: the outcome contains it.
 */
export async function applyEach<T extends { readonly plan: string }>(
  changes: readonly T[],
  make: (change: T) => Promise<void>,
  atOnce: number,
): Promise<readonly Outcome[]> {
  let serverFailed = false;
  const outcomeOf = async (change: T): Promise<Outcome> => {
    const { plan } = change;
    if (serverFailed) return { plan, outcome: 'not tried' };
    try {
      await make(change);
      return { plan, outcome: 'applied' };
    } catch (failure) {
      const error = describeError(failure);
      serverFailed ||= isOfTheServer(error);
      return { plan, outcome: 'failed', error };
    }
  };
  return Array.fromAsync(mapBounded(changes, atOnce, outcomeOf));
}
