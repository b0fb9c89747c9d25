import { types } from 'cassandra-driver';

/** In a bound statement: leaves the present value as it is. */
export const UNSET = types.unset;

/** A value of a bound statement: raw CQL bytes, null, or `UNSET`. */
export type Cell = Buffer | null | typeof UNSET;

/** A statement with its parameters as raw CQL values. */
export interface BoundStatement {
  readonly query: string;
  readonly params: readonly Cell[];
  /** Cells of the key of the partition that it writes to, in order. */
  readonly partition?: readonly Cell[];
}
