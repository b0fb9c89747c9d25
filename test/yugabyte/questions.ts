import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { importSnapshot } from '../../engines/universe/yb-admin/import.ts';
import { openYbAdmin, type YbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { restoreSnapshot } from '../../engines/universe/yb-admin/restorations.ts';
import {
  createDatabaseSnapshot,
  exportSnapshot,
  findSnapshot,
} from '../../engines/universe/yb-admin/snapshots.ts';
import { messageOf } from '../../model/errors.ts';
import { query } from '../support/sql.ts';
import type { Cluster, ProgramName } from './cluster.ts';

/**
 * What no public source answers, each asked of a cluster by itself. An answer is a fact, not a verdict: nothing here fails. docs/yugabytedb-matrix.md lists
 * them by id, in the same order, with what Holdfast does either way.
 */
export interface Question {
  readonly id: string;
  readonly question: string;
  readonly ask: (asked: Asked) => Promise<unknown>;
  /** How long it may take, where that is longer than usual. */
  readonly atMostMs?: number;
}

/** A database with a table, an index, a sequence and a partitioned table, on a cluster. */
export interface Asked {
  readonly cluster: Cluster;
  readonly admin: YbAdmin;
  readonly database: string;
}

export interface Answer {
  readonly id: string;
  readonly question: string;
  readonly answer?: unknown;
  /** Why there is no answer. */
  readonly problem?: string;
}

const DATABASE = 'holdfast_questions';
const PLAIN_ROLE = 'holdfast_plain';
/** A question that is stuck keeps nobody from asking the next one. */
const ASKED_AT_MOST_MS = 180_000;
/** How long the deletion of an expired snapshot is waited for. */
const DELETION_MS = 60_000;

/** Makes the database, asks everything, and drops it again. */
export async function askAll(cluster: Cluster, say: (line: string) => void): Promise<readonly Answer[]> {
  const { masters } = cluster;
  const admin = await openYbAdmin(
    { masters, program: cluster.program('yb-admin') },
    new AbortController().signal,
  );
  await query(cluster.ysql('yugabyte'), `DROP DATABASE IF EXISTS ${DATABASE}`, `CREATE DATABASE ${DATABASE}`);
  try {
    await query(
      cluster.ysql(DATABASE),
      'CREATE SCHEMA s',
      'CREATE TABLE s.t (id bigserial PRIMARY KEY, v text UNIQUE)',
      'CREATE INDEX t_by_v ON s.t (v)',
      "INSERT INTO s.t (v) SELECT 'row ' || i FROM generate_series(1, 500) i",
      'CREATE TABLE parted (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)',
      "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    );
    const answers: Answer[] = [];
    for (const { id, question, ask, atMostMs } of QUESTIONS) {
      const answer = await answerOf(() => ask({ cluster, admin, database: DATABASE }), atMostMs);
      say(`${id}: ${JSON.stringify(answer.answer ?? answer.problem)}`);
      answers.push({ id, question, ...answer });
    }
    return answers;
  } finally {
    await query(cluster.ysql('yugabyte'), `DROP DATABASE IF EXISTS ${DATABASE}`);
  }
}

async function answerOf(
  ask: () => Promise<unknown>,
  atMostMs = ASKED_AT_MOST_MS,
): Promise<Pick<Answer, 'answer' | 'problem'>> {
  const late = new AbortController();
  try {
    const answer = await Promise.race([
      ask(),
      sleep(atMostMs, undefined, { signal: late.signal }).then(() => {
        throw new Error(`no answer within ${atMostMs / 1000} s`);
      }),
    ]);
    return { answer: answer ?? null };
  } catch (error) {
    return { problem: messageOf(error) };
  } finally {
    late.abort();
  }
}

/** What a program says, whatever it thinks of the question. */
async function said(
  cluster: Cluster,
  program: ProgramName,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  try {
    const options = { maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...env }, timeout: 60_000 };
    const { stdout, stderr } = await promisify(execFile)(cluster.program(program), args, options);
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'number') throw error;
    const out = 'stdout' in error ? String(error.stdout) : '';
    const err = 'stderr' in error ? String(error.stderr) : '';
    return { code: error.code, out, err };
  }
}

const raw = ({ cluster }: Asked, ...args: readonly string[]) =>
  said(cluster, 'yb-admin', [`--master_addresses=${cluster.masters.join(',')}`, ...args]);

const dump = ({ cluster, database }: Asked, ...args: readonly string[]) =>
  said(cluster, 'ysql_dump', ['-w', `--dbname=${cluster.ysql(database)}`, '--schema-only', ...args]);

/** How a statement ends: `ok`, or the server's code and words. */
async function ends(url: string, ...statements: readonly string[]): Promise<string> {
  try {
    await query(url, ...statements);
    return 'ok';
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? `${String(error.code)} ` : '';
    return `${code}${messageOf(error)}`;
  }
}

async function rows({ cluster, database }: Asked, statement: string): Promise<unknown> {
  return query(cluster.ysql(database), statement);
}

async function takeSnapshot(admin: YbAdmin, database: string): Promise<string> {
  const id = await createDatabaseSnapshot(admin, database, { retentionHours: 24 });
  for (;;) {
    const state = (await findSnapshot(admin, id))?.state;
    if (state === 'COMPLETE') return id;
    if (state !== 'CREATING') throw new Error(`snapshot ${id} is ${state}`);
    await sleep(250);
  }
}

const linesWith = (text: string, pattern: RegExp) => text.split('\n').filter((line) => pattern.test(line));

export const QUESTIONS: readonly Question[] = [
  {
    id: 'versions',
    question: 'What do server and programs call themselves?',
    ask: async (asked) => {
      const banners: Record<string, string> = {};
      for (const name of ['yb-admin', 'ysql_dump', 'ysql_dumpall', 'ysqlsh'] as const) {
        const { out, err } = await said(asked.cluster, name, ['--version']);
        banners[name] = (out || err).trim();
      }
      return { server: await rows(asked, 'SELECT version()'), ...banners };
    },
  },
  {
    id: 'dump-setval',
    question: 'Does `ysql_dump --schema-only` write `setval` for sequences?',
    ask: async (asked) => {
      const [without, with_] = [await dump(asked), await dump(asked, '--include-yb-metadata')];
      return {
        withoutMetadata: without.out.includes('setval('),
        withMetadata: with_.out.includes('setval('),
        codes: [without.code, with_.code],
      };
    },
  },
  {
    id: 'dump-options',
    question: 'Which options does `ysql_dump` take, and what does it say to the others?',
    ask: async (asked) => {
      const options = [
        ...[`--read-time=${Date.now()}000`, '--no-serializable-deferrable', '--no-statistics'],
        ...['--include-yb-metadata', '--dump-role-checks'],
      ];
      const found: Record<string, string> = {};
      for (const option of options) {
        const { code, err } = await dump(asked, option);
        found[option.replace(/=.*/, '')] = code === 0 ? 'taken' : `${code}: ${err.trim().split('\n')[0]}`;
      }
      return found;
    },
  },
  {
    id: 'dump-forms',
    question: 'How does the dump write UNIQUE constraints and partitions?',
    ask: async (asked) => {
      const { out } = await dump(asked, '--include-yb-metadata');
      return {
        unique: linesWith(out, /UNIQUE|USING INDEX/),
        partitions: linesWith(out, /PARTITION OF|ATTACH PARTITION/),
      };
    },
  },
  {
    id: 'dump-host',
    question: 'Does `ysql_dump` heed PGHOST?',
    ask: async ({ cluster, database }) => {
      const url = new URL(cluster.ysql(database));
      const args = ['-w', '--schema-only', '-p', url.port, '-U', url.username, database];
      const { code, err } = await said(cluster, 'ysql_dump', args, { PGHOST: url.hostname });
      return { code, err: err.trim() };
    },
  },
  {
    id: 'list-tables',
    question: 'How does `list_tables` show a table of a YSQL schema?',
    ask: async (asked) => {
      const { out } = await raw(
        asked,
        'list_tables',
        'include_db_type',
        'include_table_id',
        'include_table_type',
      );
      return linesWith(out, new RegExp(asked.database));
    },
  },
  {
    id: 'unknown-database',
    question: 'What does `create_database_snapshot` of an unknown database say?',
    ask: (asked) => raw(asked, 'create_database_snapshot', 'ysql.holdfast_nobody'),
  },
  {
    id: 'retention',
    question: 'Does `create_database_snapshot` take hours of retention?',
    ask: async (asked) => {
      const answer = await raw(asked, 'create_database_snapshot', `ysql.${asked.database}`, '1');
      return { code: answer.code, said: (answer.out || answer.err).trim().split('\n')[0] };
    },
  },
  {
    id: 'snapshot-lists',
    question: 'What do the lists of snapshots and schedules look like, and is an expiry shown?',
    ask: async (asked) => {
      await takeSnapshot(asked.admin, asked.database);
      return {
        text: (await raw(asked, 'list_snapshots')).out.split('\n').slice(0, 3),
        json: (await raw(asked, 'list_snapshots', 'JSON')).out.slice(0, 600),
        schedules: (await raw(asked, 'list_snapshot_schedules')).out.slice(0, 600),
      };
    },
  },
  {
    id: 'metadata-file',
    question: 'What are the first bytes of a snapshot’s metadata file?',
    ask: async (asked) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-question-'));
      try {
        const file = path.join(folder, 'SnapshotInfoPB');
        const exported = await raw(
          asked,
          'export_snapshot',
          await takeSnapshot(asked.admin, asked.database),
          file,
        );
        return { said: exported.out, bytes: (await readFile(file)).subarray(0, 32).toString('hex') };
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  },
  {
    id: 'read-at-snapshot',
    question: 'Can the instant of a snapshot, cut to microseconds, be read by `yb_read_time`?',
    ask: async (asked) => {
      const micros = (await findSnapshot(asked.admin, await takeSnapshot(asked.admin, asked.database)))
        ?.timeMicros;
      if (micros === undefined) return 'this release doesn’t tell the instant of a snapshot';
      return ends(
        asked.cluster.ysql(asked.database),
        `SET yb_read_time TO ${micros}`,
        'SELECT count(*) FROM s.t',
      );
    },
  },
  {
    id: 'plain-role',
    question: 'Which settings may a role set that is no superuser?',
    ask: async (asked) => {
      const { cluster, database } = asked;
      await query(
        cluster.ysql('yugabyte'),
        `DROP ROLE IF EXISTS ${PLAIN_ROLE}`,
        `CREATE ROLE ${PLAIN_ROLE} LOGIN PASSWORD 'plain'`,
      );
      try {
        const url = new URL(cluster.ysql(database));
        url.username = PLAIN_ROLE;
        url.password = 'plain';
        const found: Record<string, string> = {};
        for (const setting of [
          `yb_read_time TO ${Date.now() - 1_000}000`,
          ...['yb_binary_restore TO on', 'yb_disable_catalog_version_check TO on'],
          'session_replication_role TO replica',
        ]) {
          found[setting.split(' ')[0] ?? ''] = await ends(url.href, `SET ${setting}`);
        }
        return found;
      } finally {
        await query(cluster.ysql('yugabyte'), `DROP ROLE IF EXISTS ${PLAIN_ROLE}`);
      }
    },
  },
  {
    id: 'export-snapshot-sql',
    question: 'Does `pg_export_snapshot()` work?',
    ask: ({ cluster, database }) =>
      ends(
        cluster.ysql(database),
        'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot(); COMMIT',
      ),
  },
  {
    id: 'savepoint-ddl',
    question: 'May DDL stand between savepoints?',
    ask: ({ cluster, database }) =>
      ends(
        cluster.ysql(database),
        'BEGIN; SAVEPOINT a; CREATE TABLE s.between (id int); ROLLBACK TO a; COMMIT',
      ),
  },
  {
    id: 'several-statements',
    question: 'Which statements are refused in a string of several?',
    ask: async ({ cluster, database }) => ({
      tablegroup: await ends(cluster.ysql(database), 'SELECT 1; CREATE TABLEGROUP holdfast_group'),
      index: await ends(cluster.ysql(database), 'SET work_mem = 4096; CREATE INDEX ON s.t (v)'),
    }),
  },
  {
    id: 'analyze-catalog-version',
    question: 'Does ANALYZE raise the catalog version?',
    ask: async (asked) => {
      const version = () => rows(asked, 'SELECT yb_catalog_version()::text AS version');
      const before = await version();
      await rows(asked, 'ANALYZE s.t');
      return { before, after: await version() };
    },
  },
  {
    id: 'sessions-per-node',
    question: 'Does a node see the sessions of another node?',
    ask: async ({ cluster, database }) => {
      const [other] = cluster.otherNodes;
      if (other === undefined) return 'there is no other node';
      const [seen] = await query(
        other,
        `SELECT count(*)::int AS sessions FROM pg_stat_activity WHERE datname = '${database}'`,
      );
      return seen;
    },
  },
  {
    id: 'nodes',
    question: 'What does `yb_servers()` say of the nodes?',
    ask: (asked) => rows(asked, 'SELECT * FROM yb_servers()'),
  },
  {
    id: 'table-size',
    question: 'Which functions tell how large a table is?',
    ask: (asked) =>
      rows(asked, "SELECT pg_relation_size('s.t')::text AS relation, pg_table_size('s.t')::text AS table"),
  },
  {
    id: 'index-check',
    question: 'Is there `yb_index_check`, and what does it say of an index that is well?',
    ask: ({ cluster, database }) =>
      ends(cluster.ysql(database), "SELECT yb_index_check('s.t_by_v'::regclass)"),
  },
  {
    id: 'neighbours',
    question: 'How do change data capture, xCluster and encryption show?',
    ask: async (asked) => ({
      created: await raw(asked, 'create_change_data_stream', `ysql.${asked.database}`),
      streams: (await raw(asked, 'list_change_data_streams')).out.slice(0, 1_000),
      tableStreams: (await raw(asked, 'list_cdc_streams')).out.slice(0, 300),
      outbound: await raw(asked, 'list_xcluster_outbound_replication_groups'),
      inbound: await raw(asked, 'list_universe_replications'),
      encryption: (await raw(asked, 'is_encryption_enabled')).out,
      config: (await raw(asked, 'get_universe_config')).out.slice(0, 1_000),
    }),
  },
  {
    id: 'rename-with-stream',
    question: 'Can a database be renamed that a stream of changes reads?',
    ask: ({ cluster, database }) =>
      ends(
        cluster.ysql('yugabyte'),
        `ALTER DATABASE ${database} RENAME TO ${database}_renamed`,
        `ALTER DATABASE ${database}_renamed RENAME TO ${database}`,
      ),
  },
  {
    id: 'clone-answer',
    question: 'What does `clone_namespace` answer?',
    ask: (asked) =>
      raw(asked, 'clone_namespace', `ysql.${asked.database}`, 'holdfast_clone', `${Date.now()}000`),
  },
  {
    id: 'restoration-without-node',
    question: 'Does a restoration end while a tablet server is down?',
    ask: async (asked) => {
      const snapshot = await takeSnapshot(asked.admin, asked.database);
      await asked.cluster.killTserver(2);
      try {
        const restoration = await restoreSnapshot(asked.admin, snapshot);
        const states: string[] = [];
        for (let second = 0; second < 30; second += 1) {
          const { out } = await raw(asked, 'list_snapshot_restorations', restoration);
          const [, state] = /"state":\s*"(\w+)"/.exec(out) ?? [];
          if (state !== undefined && states.at(-1) !== state) states.push(state);
          if (state === 'RESTORED' || state === 'FAILED') break;
          await sleep(1_000);
        }
        return states;
      } finally {
        await asked.cluster.startTserver(2);
      }
    },
  },
  {
    id: 'imported-expiry',
    question: 'Does an imported snapshot expire after `default_snapshot_retention_hours`?',
    ask: async ({ cluster: { expiry }, admin, database }) => {
      if (expiry === undefined) return 'not asked: --expiry asks it, and takes 80 minutes';
      const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-question-'));
      try {
        const file = path.join(folder, 'SnapshotInfoPB');
        await exportSnapshot(admin, await takeSnapshot(admin, database), file);
        const { newSnapshot } = await importSnapshot(admin, file, `ysql.${database}`, { tables: 10 });
        const state = async () => (await findSnapshot(admin, newSnapshot))?.state ?? 'gone';
        const before = await state();
        await expiry.pass();
        // What has expired is deleted by a task of the master's, and is on the list while that runs.
        const deadline = Date.now() + DELETION_MS;
        let after = await state();
        while (after === 'DELETING' && Date.now() < deadline) {
          await sleep(500);
          after = await state();
        }
        return { hours: expiry.hours, before, after };
      } finally {
        await rm(folder, { recursive: true });
      }
    },
    atMostMs: 100 * 60_000,
  },
];
