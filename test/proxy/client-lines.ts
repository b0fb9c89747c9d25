/** The release lines whose client programs differ; a universe of the same name runs the same line. */
export const CLIENT_LINE_NAMES = ['2.18', '2024.2', '2025.2', '2026.1'] as const;
export type ClientLineName = (typeof CLIENT_LINE_NAMES)[number];

/** What `ysql_dump`, `ysql_dumpall` and `ysqlsh` of one release line are and can do. */
export interface ClientLine {
  readonly name: ClientLineName;
  /** What the programs and the server call themselves, after the product's name in the banner. */
  readonly version: string;
  /** PostgreSQL's major version, of programs and server. */
  readonly major: 11 | 15;
  /** `ysql_dump --read-time=MICROSECONDS`, which no help names. */
  readonly readTime: boolean;
  /** `--dump-role-checks`, which wants `--include-yb-metadata` beside it. */
  readonly roleChecks: boolean;
  /** Statistics of the planner are dumped unless `--no-statistics` is given. */
  readonly statistics: boolean;
  /** Whether `ysql_dump` reads PGHOST; else it dumps localhost where no `--host` is given. */
  readonly readsHostVariable: boolean;
  /** Dumps begin with `\restrict`, and `ysqlsh` knows that command. */
  readonly restrict: boolean;
  /** `CREATE TABLE … PARTITION OF …` in place of a table and its TABLE ATTACH. */
  readonly partitionOf: boolean;
  /** Names in `UNIQUE USING INDEX name` are quoted. */
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
