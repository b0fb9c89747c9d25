import { permanent } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import { onlyRow, type Session } from './session.ts';

/*
 * This folder is what Holdfast knows of a server that speaks YSQL (YugabyteDB or PostgreSQL) apart from moving rows: connections
 * and sessions, errors, the catalogue, dumps and the programs that write them, scripts in the repository, roles, the exchange of a
 * database's names.
 *
 * Who may use it: the engine `ysql`, whose home this is, and the engine `universe`, which may use nothing else of `engines/ysql/`.
 * So nothing here knows how rows are cut, moved or noted as loaded. One thing comes from outside: the socket of a session
 * (`../lending-socket.ts`), which lends its bytes to COPY. test/engines/door.test.ts holds both rules.
 */

export type Product = Exclude<Manifest['server']['product'], 'cassandra'>;

/** What kind of server answers, and how new it is. */
export interface Server {
  readonly product: Product;
  /** As the server states it: `15.12` or `15.12-YB-2025.1.0.0-b0`. */
  readonly version: string;
  /** PostgreSQL's major version, e.g. 15. */
  readonly major: number;
}

/** Oldest PostgreSQL major version by product: YSQL is PostgreSQL 11 up to YugabyteDB 2024.2, 15 from 2025.1. */
const OLDEST_MAJOR: Readonly<Record<Product, number>> = { postgresql: 15, yugabytedb: 11 };

/** Asks the server what it is; refuses one that is too old with `YSQL_SERVER_TOO_OLD` (permanent). */
export async function readServer(session: Session): Promise<Server> {
  const row = onlyRow(
    await session.query<{ banner: string; version: string; number: string }>(
      'read the server version',
      `SELECT version() AS banner, current_setting('server_version') AS version, current_setting('server_version_num') AS number`,
    ),
    'its version',
  );
  const server = describeServer(row.banner, row.version, Number(row.number));
  const oldest = OLDEST_MAJOR[server.product];
  if (server.major < oldest) {
    throw permanent(
      'YSQL_SERVER_TOO_OLD',
      `The server is ${row.banner}; Holdfast needs PostgreSQL ${oldest} or newer${server.product === 'yugabytedb' ? ' compatibility' : ''}`,
      'Upgrade the server, or back it up with the tools of its own version.',
    );
  }
  return server;
}

/** `version()` says `PostgreSQL 15.12-YB-2025.1.0.0-b0 on …` on YugabyteDB. */
export function describeServer(banner: string, version: string, versionNumber: number): Server {
  const [, ybVersion] = /^PostgreSQL (\S*-YB-\S*)/.exec(banner) ?? [];
  return {
    product: ybVersion === undefined ? 'postgresql' : 'yugabytedb',
    version: ybVersion ?? version.split(' ')[0] ?? version,
    major: Math.floor(versionNumber / 10_000),
  };
}
