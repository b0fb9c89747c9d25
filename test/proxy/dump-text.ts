import type { ClientLine } from './client-lines.ts';

/** What a run of `ysql_dump` was asked for, as far as it changes the text. */
export interface DumpRequest {
  /** `--include-yb-metadata`. */
  readonly metadata: boolean;
  /** `--dump-role-checks`. */
  readonly roleChecks: boolean;
  /** False with `--no-statistics`, `--data-only` or a line that dumps none. */
  readonly statistics: boolean;
  /** Parts that are asked for; all three where `--section` isn't given. */
  readonly sections: readonly ('pre-data' | 'data' | 'post-data')[];
}

const WHOLE: DumpRequest = {
  metadata: false,
  roleChecks: false,
  statistics: false,
  sections: ['pre-data', 'data', 'post-data'],
};

/** The plain script that `pg_dump` wrote, as `ysql_dump` of the line writes it. Pure. */
export function asYsqlDump(script: string, line: ClientLine, _request: DumpRequest = WHOLE): string {
  const written = line.restrict ? script : script.replaceAll(/^\\(?:un)?restrict .*\n/gm, '');
  // PostgreSQL 11 has no table access methods.
  if (line.major !== 11) return written;
  return written
    .replaceAll(/^SET default_table_access_method = heap;$/gm, 'SET default_with_oids = false;')
    .replaceAll(/ LOCALE_PROVIDER = libc LOCALE = ('(?:[^']|'')*')/g, ' LC_COLLATE = $1 LC_CTYPE = $1')
    .replaceAll(/ LOCALE_PROVIDER = libc/g, '');
}

/** The script that `pg_dumpall` wrote, as `ysql_dumpall` of the line writes it. Pure. A tablespace of YugabyteDB is no folder. */
export function asYsqlDumpall(script: string, _line: ClientLine): string {
  return script.replaceAll(/ LOCATION 'pg_tblspc[^']*'/g, " LOCATION ''");
}
