import { permanent } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import { onlyRow, type Session } from './session.ts';

/*
 * This folder holds what Holdfast knows about a server that speaks YSQL (YugabyteDB or PostgreSQL), apart from moving rows:
 * connections and sessions, errors, the catalogue, dumps and the programs that write them, scripts in the repository, roles, and
 * the exchange of a database's names.
 *
 * Two engines may use it: `ysql`, which it belongs to, and `universe`, which may use nothing else of `engines/ysql/`. So this
 * folder must not know how rows are cut, moved or recorded as loaded. It has one import from outside: the socket of a session
 * (`../lending-socket.ts`), which lends its bytes to COPY. test/engines/door.test.ts checks both rules.
 */

/** The product of a server that speaks YSQL. */
export type Product = Exclude<Manifest['server']['product'], 'cassandra'>;

/** The product and the version of a server. */
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

/** Describes a server from its answers. On YugabyteDB `version()` returns `PostgreSQL 15.12-YB-2025.1.0.0-b0 on …`. */
export function describeServer(banner: string, version: string, versionNumber: number): Server {
  const [, ybVersion] = /^PostgreSQL (\S*-YB-\S*)/.exec(banner) ?? [];
  return {
    product: ybVersion === undefined ? 'postgresql' : 'yugabytedb',
    version: ybVersion ?? version.split(' ')[0] ?? version,
    major: Math.floor(versionNumber / 10_000),
  };
}
