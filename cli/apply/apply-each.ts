import { describeError, type ErrorDocument } from '../../library/errors.ts';

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
 * Makes changes one after another. A plan that fails doesn't stop the later ones, unless the server itself fails. Never throws what
 * `make` throws: the outcome contains it.
 */
export async function applyEach<T extends { readonly plan: string }>(
  changes: readonly T[],
  make: (change: T) => Promise<void>,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  let serverFailed = false;
  for (const change of changes) {
    const { plan } = change;
    if (serverFailed) {
      outcomes.push({ plan, outcome: 'not tried' });
      continue;
    }
    try {
      await make(change);
      outcomes.push({ plan, outcome: 'applied' });
    } catch (failure) {
      const error = describeError(failure);
      outcomes.push({ plan, outcome: 'failed', error });
      serverFailed = isOfTheServer(error);
    }
  }
  return outcomes;
}
