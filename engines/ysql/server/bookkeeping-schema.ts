/** The schema that a restore keeps in the target database until it is complete. */
export const BOOKKEEPING_SCHEMA = 'holdfast_restore';
