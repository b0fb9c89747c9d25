/** Lives in the database under restore until the restore is complete. */
export const BOOKKEEPING_SCHEMA = 'holdfast_restore';
