/**
 * One value of a row: text as the type's output function writes it, `null` for NULL, `undefined` where the message leaves it out because an
 * update did not change a value that is stored out of line (TOAST). What is left out is never NULL.
 */
export type Cell = string | null | undefined;

/** Values in the order of the relation's columns. */
export type Tuple = readonly Cell[];
