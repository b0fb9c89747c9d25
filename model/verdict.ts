/** What a comparison found. `INCONCLUSIVE`: it could not be made, so it says nothing. Nothing compared is never `OK`. */
export type Verdict = 'OK' | 'FAILED' | 'INCONCLUSIVE';
