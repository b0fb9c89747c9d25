import type { BackupContext } from '../engines/engine.ts';
import { ysqlEngine } from '../engines/ysql/engine.ts';
import { startPostgres } from '../parts/postgres.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { DirectoryStore } from '../repository/directory/store.ts';
import { backupFolder } from '../repository/layout.ts';
import { ensureRepository } from '../repository/repository.ts';
import { backupContext } from '../test/support/engine-runs.ts';
import { query } from '../test/support/sql.ts';
import { wholeBackup } from '../test/support/whole-backup.ts';
import { ysqlSource } from '../test/ysql/harness.ts';

const MIB = 1024 * 1024;
const ROW_BYTES = 100;
const CHANGED_SHARE = 0.02;

/** Which rows change in a night: the newest, or some of every block. */
type Pattern = 'newest' | 'spread';

/**
 * Nights of tables of 10 MB, of which one has changed at 2 % of its rows. Prints what all backups take together, relative to one of them, and the processor
 * time of a night that shares rows beside one that doesn't.
 */
export async function benchSharedRows(options: {
  readonly tables: number;
  readonly nights: number;
  readonly json: boolean;
}): Promise<void> {
  const write = (text: string) => process.stdout.write(`${text}\n`);
  if (!options.json) {
    write(
      '| rows that change | chunk | all nights, relative to one backup | CPU-seconds of a night, shared | not shared |',
    );
    write('|---|---|---|---|---|');
  }
  for (const chunkMib of [64, 1]) {
    for (const pattern of ['newest', 'spread'] as const) {
      const measured = await measure({ ...options, pattern, chunkMib });
      const { relative, sharedSeconds, plainSeconds } = measured;
      const figures = [relative, sharedSeconds, plainSeconds].map((figure) => figure.toFixed(2));
      write(
        options.json
          ? JSON.stringify(measured)
          : `| ${[pattern, `${chunkMib} MiB`, ...figures].join(' | ')} |`,
      );
    }
  }
}

async function measure({
  tables,
  nights,
  pattern,
  chunkMib,
}: {
  readonly tables: number;
  readonly nights: number;
  readonly pattern: Pattern;
  readonly chunkMib: number;
}) {
  const scratch = await createScratchFolder('shared-rows-bench');
  const postgres = await startPostgres({ version: 15 });
  try {
    const rows = Math.round((10 * MIB) / ROW_BYTES);
    await query(postgres.url(), 'CREATE DATABASE nights');
    for (let table = 0; table < tables; table += 1) {
      await query(
        postgres.url('nights'),
        `CREATE TABLE t${table} AS SELECT n AS id, 0 AS version, md5((n + ${table * rows})::text) || md5((n * 7)::text) AS note FROM generate_series(1, ${rows}) n`,
        `CREATE INDEX ON t${table} (id)`,
      );
    }
    await query(postgres.url('nights'), 'VACUUM ANALYZE');
    const store = new DirectoryStore(scratch.path);
    await ensureRepository(store);
    const source = ysqlSource({ chunkBytes: chunkMib * MIB });
    const night = async (shareRows: boolean) => {
      const before = process.cpuUsage();
      const context = contextOf(store, scratch.path, postgres.url('nights'), shareRows);
      const summary = await wholeBackup(ysqlEngine, context, source);
      const { user, system } = process.cpuUsage(before);
      return { summary, seconds: (user + system) / 1e6 };
    };
    const plain = await night(false);
    let newBytes = 0;
    let seconds = 0;
    for (let index = 0; index < nights; index += 1) {
      if (index > 0) await change(postgres.url('nights'), index % tables, rows, pattern);
      const { summary, seconds: taken } = await night(true);
      newBytes += summary.newBytes ?? 0;
      if (index > 0) seconds += taken;
    }
    return {
      pattern,
      chunkMib,
      relative: newBytes / plain.summary.storedBytes,
      sharedSeconds: seconds / Math.max(1, nights - 1),
      plainSeconds: (await night(false)).seconds,
    };
  } finally {
    await postgres.stop();
    await scratch.remove();
  }
}

function contextOf(store: DirectoryStore, path: string, url: string, shareRows: boolean): BackupContext {
  const repository = { store, path, remove: () => Promise.resolve() };
  const plain = backupContext(repository, { secret: () => Promise.resolve(url) });
  const ref = { ...plain.ref, repository: { ...plain.ref.repository, shareRows } };
  return { ...plain, ref, folder: backupFolder(ref) };
}

async function change(url: string, table: number, rows: number, pattern: Pattern): Promise<void> {
  const every = Math.round(1 / CHANGED_SHARE);
  const which = pattern === 'newest' ? `id > ${Math.round(rows * (1 - CHANGED_SHARE))}` : `id % ${every} = 0`;
  await query(url, `UPDATE t${table} SET version = version + 1 WHERE ${which}`, `VACUUM t${table}`);
}
