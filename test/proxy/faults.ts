import type { Statement } from './sql.ts';

/** An error that the proxy returns instead of running a statement. */
export interface Fault {
  /** Which statements fail. */
  readonly statement: RegExp;
  readonly code: string;
  readonly message: string;
  /** How many matching statements fail; absent: all. */
  times?: number;
}

/**
 * YugabyteDB's errors when a node restarts, a leader moves or DDL runs at the same time. Nearly all have SQLSTATE XX000 (facts yugabytedb-programs
 * R8; YugabyteDB issues 7993, 8992, 9388, 15220, 24004); newer builds report some under codes of their own (issue 28956).
 */
export const PASSING_ERRORS: readonly (readonly [code: string, message: string])[] = [
  ['XX000', 'Timed out: Read RPC (request call id 3) to 127.0.0.1:9100 timed out after 60.000s'],
  ['XX000', 'Query error: Restart read required at: { read: { physical: 1 } local_limit: { physical: 2 } }'],
  ['XX000', 'Restarting a DDL transaction not supported'],
  ['XX000', 'Catalog Version Mismatch: A DDL occurred while processing this query. Try again.'],
  ['XX000', 'Operation expired: Transaction expired or aborted by a conflict: 40001'],
  ['XX000', 'Network error: Connect timeout, passed: 15.000s'],
  ['XX000', 'Service unavailable: Shutdown in progress'],
  ['XX000', 'Leader not ready to serve requests: Leader not yet ready to serve requests'],
  ['XX000', 'Illegal state: Not the leader'],
  ['XX000', 'Query error: schema version mismatch for table 000033e6: expected 1, got 0'],
  ['XX000', 'Transaction aborted: expired or aborted'],
  ['XX000', 'Unknown transaction, could be recently aborted: 7d5f0e9a'],
  ['40001', 'could not serialize access due to concurrent update'],
  ['YB001', 'Restart read required'],
];

/** Faults that a test injects. */
export class Faults {
  readonly #faults: Fault[] = [];

  inject(fault: Fault): void {
    this.#faults.push(fault);
  }

  clear(): void {
    this.#faults.length = 0;
  }

  /** Returns the fault that one of these statements runs into, and counts it. */
  meet(found: readonly Statement[]): Fault | undefined {
    const fault = this.#faults.find(
      ({ statement, times }) => times !== 0 && found.some(({ sql }) => statement.test(sql)),
    );
    if (fault?.times !== undefined) fault.times -= 1;
    return fault;
  }
}
