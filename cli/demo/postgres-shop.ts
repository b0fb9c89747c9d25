import { startPostgres } from '../../parts/postgres.ts';
import type { DemoDatabase } from './database.ts';
import { digestTables, fillShop } from './shop.ts';

/** The shop in PostgreSQL, for engine `ysql`. */
export async function startPostgresShop(): Promise<DemoDatabase> {
  const postgres = await startPostgres();
  return {
    part: 'PostgreSQL (it stands in for YSQL)',
    contents: 'the database `shop`: a million rows',
    source: `    ysql:
      connection: { env: DEMO_DATABASE_URL }
      chunkSize: 4MiB`,
    environment: { DEMO_DATABASE_URL: postgres.url('shop') },
    fill: () => fillShop((database) => postgres.url(database)),
    digests: (name) => digestTables(postgres.url(name)),
    stop: () => postgres.stop(),
  };
}
