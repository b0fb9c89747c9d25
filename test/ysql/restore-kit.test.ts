import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ysqlEngine } from '../../activities/ysql/engine.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  createZoo,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

describe('a restore without Holdfast', () => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await createZoo(server, 'zoo');
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  test('brings everything back by the commands of RESTORE.md alone', async () => {
    const backup = await takeBackup(repository, server.url('zoo'), ysqlSource({ globals: 'roles' }));
    const folder = join(repository.path, backup.context.folder);
    const kit = ysqlEngine.restoreKit(backup.manifest, backup.objects);
    for (const { key, text } of kit) {
      await mkdir(dirname(join(folder, key)), { recursive: true });
      await writeFile(join(folder, key), text);
    }
    await query(server.url(), 'ALTER DATABASE zoo RENAME TO zoo_original');
    const url = new URL(server.url());
    const environment = {
      ...process.env,
      PATH: `${server.binDirectory}:${process.env.PATH}`,
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: url.username,
      PGPASSWORD: decodeURIComponent(url.password),
    };
    for (const commands of shellBlocks(kit.find(({ key }) => key === 'RESTORE.md')?.text ?? '')) {
      await promisify(execFile)('sh', ['-c', commands], { cwd: folder, env: environment });
    }
    expect(await compareDatabases(server, server.url('zoo_original'), server.url('zoo'))).toEqual([]);
  });

  test('finds a changed byte before anything is loaded', async () => {
    await query(server.url(), 'CREATE DATABASE small', 'DROP DATABASE IF EXISTS small_copy');
    await query(server.url('small'), 'CREATE TABLE t AS SELECT generate_series(1, 10) AS i');
    const backup = await takeBackup(repository, server.url('small'));
    const folder = join(repository.path, backup.context.folder);
    for (const { key, text } of ysqlEngine.restoreKit(backup.manifest, backup.objects)) {
      await writeFile(join(folder, key), text);
    }
    await writeFile(join(folder, backup.objects[0]?.key ?? ''), 'not what was written');
    const checking = promisify(execFile)('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: folder });
    await expect(checking).rejects.toMatchObject({
      stdout: expect.stringContaining(backup.objects[0]?.key ?? ''),
    });
  });
});

/** The text of every fenced `sh` block. */
function shellBlocks(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, commands]) => commands ?? '');
}
