import { spawnSync } from 'node:child_process';
import { copyFile, cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LOAD_SCRIPT } from '../../engines/ycql/restore-kit-script.ts';
import { folderForEachTest } from '../support/scratch.ts';

const BACKUP = path.join(
  import.meta.dirname,
  '../fixtures/backups/ycql/backups/ycql/20261130T010043Z-37ab1f',
);
const [VISITS, HITS] = [
  'data/e1/t00000-c00000-0-a41a5973998e.cql.zst',
  'data/e1/t00001-c00000-0-021405181e8e.cql.zst',
];
/** Stands in for the driver: takes every statement. What a cluster does with them, `round-trip.test.ts` shows. */
const DRIVER = `exports.types = { consistencies: {} };
exports.Client = class { async connect() {} async shutdown() {} async execute() {} };`;

describe('load.mjs of a restore kit', () => {
  const emptyFolder = folderForEachTest('restore-kit-script');
  beforeEach(async () => {
    await cp(BACKUP, emptyFolder(), { recursive: true });
    await writeFile(path.join(emptyFolder(), 'load.mjs'), LOAD_SCRIPT);
    const driver = path.join(emptyFolder(), 'node_modules/cassandra-driver');
    await mkdir(driver, { recursive: true });
    await writeFile(path.join(driver, 'index.js'), DRIVER);
  });
  const load = () =>
    spawnSync(process.execPath, ['load.mjs', '127.0.0.1', '9042', 'dc'], {
      cwd: emptyFolder(),
      encoding: 'utf8',
    });

  it('writes the rows of a whole backup', () => {
    expect(load()).toMatchObject({ status: 0, stdout: expect.stringContaining('65 rows written') });
  });

  it('writes no rows of an object that is not the one that the manifest names', async () => {
    await copyFile(path.join(BACKUP, HITS), path.join(emptyFolder(), VISITS));
    expect(load()).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining(VISITS) });
  });
});
