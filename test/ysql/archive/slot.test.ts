import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { POSTGRESQL } from '../../../engines/ysql/archive/postgresql-source.ts';
import { dropSlot } from '../../../engines/ysql/archive/slot.ts';
import { parseConnectionUrl } from '../../../engines/ysql/server/connection-url.ts';
import { withSession } from '../../../engines/ysql/server/session.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { query } from '../../support/sql.ts';

let postgres: PostgresServer;

beforeAll(async () => {
  postgres = await startPostgres({ settings: { wal_level: 'logical' } });
});
afterAll(() => postgres?.stop());

test('a slot whose stream the server has not yet seen end is dropped as soon as it has', async () => {
  const { signal } = new AbortController();
  await query(postgres.url(), 'CREATE PUBLICATION p');
  const settings: pg.ClientConfig & { readonly replication: 'database' } = {
    connectionString: postgres.url(),
    replication: 'database',
  };
  const stream = new pg.Client(settings);
  stream.on('error', () => undefined);
  await stream.connect();
  await withSession(parseConnectionUrl(postgres.url()), 'postgres', signal, async (session) => {
    await POSTGRESQL.createSlot(session, 'closed');
    stream.connection.query(
      `START_REPLICATION SLOT "closed" LOGICAL 0/0 (proto_version '1', publication_names 'p')`,
    );
    await sleep(200);
    await expect(dropSlot(POSTGRESQL, session, 'closed', { signal, forMs: 0 })).rejects.toMatchObject({
      code: 'ARCHIVE_SLOT_BUSY',
    });
    const dropping = dropSlot(POSTGRESQL, session, 'closed', { signal, forMs: POSTGRESQL.freeWithinMs });
    await sleep(200);
    stream.connection.stream.destroy();
    await dropping;
    expect(await query(postgres.url(), 'SELECT FROM pg_replication_slots')).toEqual([]);
  });
});
