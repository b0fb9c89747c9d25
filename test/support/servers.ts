import { Client } from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';

/**
 * Environment variable with a superuser's connection URL on a running YugabyteDB (or PostgreSQL), which the acceptance tests then use instead of
 * a server of their own.
 */
export const EXTERNAL_SERVER = 'HOLDFAST_TEST_YSQL_URL';

/** A server for the acceptance tests of the YSQL engine, in `test/ysql`. */
export type YsqlServer = {
  readonly product: 'yugabytedb' | 'postgresql';
  /** A superuser's connection URL; without a name, to a database that always exists. */
  url(database?: string): string;
  /** Our own server, which a test may restart or kill; undefined for an external server. */
  readonly own: PostgresServer | undefined;
  /** Stops our own server; an external one keeps running. A test must drop the databases that it created there. */
  stop(): Promise<void>;
};

/** Returns the server in `HOLDFAST_TEST_YSQL_URL`, otherwise starts a PostgreSQL of our own with `settings`. */
export async function ysqlServer(settings: Readonly<Record<string, string>> = {}): Promise<YsqlServer> {
  const external = process.env[EXTERNAL_SERVER];
  if (external === undefined || external === '') {
    const own = await startPostgres({ settings });
    return { product: 'postgresql', url: (database) => own.url(database), own, stop: () => own.stop() };
  }
  return {
    product: await productOf(external),
    url(database) {
      const url = new URL(external);
      if (database !== undefined) url.pathname = `/${encodeURIComponent(database)}`;
      return url.href;
    },
    own: undefined,
    stop: async () => undefined,
  };
}

/** Reads the product from the version: YugabyteDB's is `PostgreSQL 15.12-YB-2025.2.6.0-b0 on …`. */
export async function productOf(url: string): Promise<YsqlServer['product']> {
  return (await versionOf(url)).includes('-YB-') ? 'yugabytedb' : 'postgresql';
}

/** Returns the answer of `version()`. */
export async function versionOf(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ version: string }>('SELECT version()');
    return rows[0]?.version ?? '';
  } finally {
    await client.end();
  }
}
