import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runDump } from '../../../engines/universe/restore/schema.ts';
import { parseConnectionUrl } from '../../../engines/ysql/server/connection-url.ts';
import { describesDatabase } from '../../../engines/ysql/server/database-entries.ts';
import { readDump, withoutEntries } from '../../../engines/ysql/server/dump-script.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { CLIENT_LINES } from '../../proxy/client-lines.ts';
import { asYsqlDump } from '../../proxy/dump-text.ts';
import { startYsqlProxy, type YsqlProxy } from '../../proxy/proxy.ts';
import { query } from '../../support/sql.ts';
import { compareDatabases } from '../compare.ts';
import { isRefusal } from './campaign.ts';
import { CANARY } from './names.ts';
import { creating, hostileSchema, quoted } from './schema.ts';

/** Makes schemas in a PostgreSQL, dumps them by pg_dump, rewrites the dump as ysql_dump's, and restores it. */
export interface RealRestores {
  /** False where the dump is refused by name. Throws on any difference, and where a program ran. */
  comesBack(seed: number): Promise<boolean>;
  stop(): Promise<void>;
}

export async function startRealRestores(): Promise<RealRestores> {
  const postgres = await startPostgres();
  const proxy = await startYsqlProxy({ upstreamUrl: postgres.url() });
  await query(postgres.url(), 'ALTER SYSTEM SET allow_in_place_tablespaces = on', 'SELECT pg_reload_conf()');
  return {
    comesBack: (seed) => comesBack(postgres, proxy, seed),
    async stop() {
      await proxy.stop();
      await postgres.stop();
    },
  };
}

async function comesBack(postgres: PostgresServer, proxy: YsqlProxy, seed: number): Promise<boolean> {
  const model = hostileSchema(seed);
  const roles = [model.owner, model.reader].map((name) => `ROLE ${quoted(name)}`);
  await query(
    postgres.url(),
    ...roles.map((role) => `CREATE ${role}`),
    `CREATE TABLESPACE ${quoted(model.tablespace)} LOCATION ''`,
  );
  await query(postgres.url(), 'CREATE DATABASE hostile');
  try {
    await query(postgres.url('hostile'), ...creating(model));
    return await dumpAndRestore(postgres, proxy, seed);
  } finally {
    for (const name of ['hostile', 'restored', 'by_hand']) {
      await query(postgres.url(), `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
    await query(
      postgres.url(),
      `DROP TABLESPACE ${quoted(model.tablespace)}`,
      ...roles.map((role) => `DROP ${role}`),
    );
  }
}

async function dumpAndRestore(postgres: PostgresServer, proxy: YsqlProxy, seed: number): Promise<boolean> {
  const { stdout } = await promisify(execFile)(
    join(postgres.binDirectory, 'pg_dump'),
    ['--schema-only', '--create', postgres.url('hostile')],
    { maxBuffer: 16 * 1024 * 1024 },
  );
  const line = CLIENT_LINES[seed % 2 === 0 ? '2025.2' : '2026.1'];
  const whole = asYsqlDump(
    stdout,
    { ...line, quotesUsingIndex: false },
    {
      metadata: true,
      roleChecks: seed % 3 === 0,
      statistics: false,
      sections: ['pre-data', 'post-data'],
    },
  );
  let dump: ReturnType<typeof readDump>;
  try {
    dump = readDump(whole);
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
  const target = parseConnectionUrl(throughProxy(postgres, proxy));
  await query(throughProxy(postgres, proxy), 'CREATE DATABASE restored');
  const told = { signal: new AbortController().signal, heartbeat: () => undefined, log: () => undefined };
  await runDump(told, target, 'restored', dump);
  await requireEqual(postgres, 'restored');
  await byHand(
    postgres,
    proxy,
    withoutEntries(
      asYsqlDump(stdout, line, {
        metadata: false,
        roleChecks: false,
        statistics: false,
        sections: ['pre-data', 'post-data'],
      }),
      describesDatabase,
    ),
  );
  return true;
}

/** What a backup keeps of the engine ysql is for psql too: it must do the same, and run no program. */
async function byHand(postgres: PostgresServer, proxy: YsqlProxy, script: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'hostile-'));
  try {
    await writeFile(join(folder, 'schema.sql'), script);
    await query(postgres.url(), 'CREATE DATABASE by_hand');
    await promisify(execFile)(
      join(postgres.binDirectory, 'psql'),
      [
        '-X',
        '-q',
        '-v',
        'ON_ERROR_STOP=1',
        '-d',
        throughProxy(postgres, proxy, 'by_hand'),
        '-f',
        'schema.sql',
      ],
      { cwd: folder },
    );
    if ((await readdir(folder)).includes(CANARY)) throw new Error('psql ran a program');
    await requireEqual(postgres, 'by_hand');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function requireEqual(postgres: PostgresServer, name: string): Promise<void> {
  const differences = await compareDatabases(postgres, postgres.url('hostile'), postgres.url(name), {
    ignoreDatabaseProperties: true,
  });
  if (differences.length > 0) throw new Error(`${name} differs: ${differences.slice(0, 4).join(' | ')}`);
}

function throughProxy(postgres: PostgresServer, proxy: YsqlProxy, database?: string): string {
  const url = new URL(postgres.url(database));
  url.port = String(proxy.port);
  return url.href;
}
