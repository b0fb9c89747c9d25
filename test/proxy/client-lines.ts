/** The release lines whose client programs differ; a universe of the same name runs the same line. */
export const CLIENT_LINE_NAMES = ['2.18', '2024.2', '2025.2', '2026.1'] as const;
export type ClientLineName = (typeof CLIENT_LINE_NAMES)[number];

/** The properties and abilities of `ysql_dump`, `ysql_dumpall` and `ysqlsh` of one release line. */
export interface ClientLine {
  readonly name: ClientLineName;
  /** The version that the programs and the server report, after the product's name in the banner. */
  readonly version: string;
  /** PostgreSQL's major version, of programs and server. */
  readonly major: 11 | 15;
  /** Whether `ysql_dump` has `--read-time=MICROSECONDS`, which its help never lists. */
  readonly readTime: boolean;
  /** Whether it has `--dump-role-checks`, which requires `--include-yb-metadata`. */
  readonly roleChecks: boolean;
  /** Whether it dumps the planner's statistics unless `--no-statistics` is given. */
  readonly statistics: boolean;
  /** Whether `ysql_dump` reads PGHOST. If not, it dumps localhost when no `--host` is given. */
  readonly readsHostVariable: boolean;
  /** Whether dumps begin with `\restrict`, which `ysqlsh` then knows. */
  readonly restrict: boolean;
  /** Whether a dump has `CREATE TABLE … PARTITION OF …` instead of a table and its TABLE ATTACH. */
  readonly partitionOf: boolean;
  /** Whether a dump quotes the name in `UNIQUE USING INDEX name`. */
  readonly quotesUsingIndex: boolean;
}

const ELEVEN = {
  major: 11,
  roleChecks: false,
  statistics: false,
  readsHostVariable: false,
  restrict: false,
  partitionOf: true,
  quotesUsingIndex: false,
} as const;

export const CLIENT_LINES: Readonly<Record<ClientLineName, ClientLine>> = {
  '2.18': { ...ELEVEN, name: '2.18', version: '11.2-YB-2.18.4.0-b0', readTime: false },
  '2024.2': { ...ELEVEN, name: '2024.2', version: '11.2-YB-2024.2.1.0-b0', readTime: true },
  '2025.2': {
    name: '2025.2',
    version: '15.12-YB-2025.2.1.0-b0',
    major: 15,
    readTime: true,
    roleChecks: true,
    statistics: true,
    readsHostVariable: false,
    restrict: false,
    partitionOf: false,
    quotesUsingIndex: false,
  },
  '2026.1': {
    name: '2026.1',
    version: '15.12-YB-2026.1.2.0-b0',
    major: 15,
    readTime: true,
    roleChecks: true,
    statistics: true,
    readsHostVariable: true,
    restrict: true,
    partitionOf: false,
    quotesUsingIndex: true,
  },
};
