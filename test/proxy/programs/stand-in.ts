import type { ClientLine } from '../client-lines.ts';

export type StandInName = 'ysql_dump' | 'ysql_dumpall' | 'ysqlsh';

/** Set where a stand-in is to behave as on a terminal, which it asks for a password (fact `programs.password`). */
export const TERMINAL = 'HOLDFAST_STAND_IN_TERMINAL';

/** One call of a stand-in. */
export interface Call {
  readonly name: StandInName;
  /** As it was called: the path that the real program names in its errors. */
  readonly path: string;
  readonly line: ClientLine;
  /** The folder of `pg_dump`, `pg_dumpall` and `psql`. */
  readonly postgresBin: string;
  readonly words: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

/** What the stand-in ends with. */
export interface Said {
  readonly code: number;
  readonly stdout: Buffer | string;
  readonly stderr: string;
}
