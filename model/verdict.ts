/** What a comparison found. `INCONCLUSIVE`: it could not be made, so it says nothing. Nothing compared is never `OK`. */
export type Verdict = 'OK' | 'FAILED' | 'INCONCLUSIVE';

/** Of two verdicts the one that an operator must know of. */
export function worseOf(one: Verdict, other: Verdict): Verdict {
  if (one === 'FAILED' || other === 'FAILED') return 'FAILED';
  return one === 'OK' ? other : one;
}
