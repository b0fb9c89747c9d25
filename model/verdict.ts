/**
 * The result of a comparison. `INCONCLUSIVE`: nothing could be compared, so it says nothing. If nothing was compared, it is never
 * `OK`.
 */
export type Verdict = 'OK' | 'FAILED' | 'INCONCLUSIVE';

/** The worse of two verdicts, which an operator must know of. */
export function worseOf(one: Verdict, other: Verdict): Verdict {
  if (one === 'FAILED' || other === 'FAILED') return 'FAILED';
  return one === 'OK' ? other : one;
}
