import { execFile } from 'node:child_process';
import { access, chmod, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  createZoo,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

const SMALL_ROWS = 10;
const PROGRAMS = ['psql', 'zstd', 'sha256sum', 'mktemp', 'rm', 'cat', 'head', 'tail'];

describe('a restore without Holdfast', () => {
  let server: TestServer;
  let repository: TestRepository;
  /** By the format of their rows. */
  const small = new Map<'text' | 'binary', { readonly folder: string; readonly backup: TestBackup }>();
  let copies = 0;
  let targets = 0;

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
    const { folder, backup } = await smallKit();
    const [object] = backup.objects;
    await writeFile(join(folder, object?.key ?? ''), 'not what was written');
    const checking = promisify(execFile)('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: folder });
    await expect(checking).rejects.toMatchObject({ stdout: expect.stringContaining(object?.key ?? '') });
  });

  describe.each(['sh', 'bash'])('load-0.sh under %s', (shell) => {
    test('loads and counts what it loads, and refuses to load it twice', async () => {
      const { folder } = await smallKit();
      const target = await emptyTarget();
      const first = await load(shell, folder, target);
      expect(first).toMatchObject({ code: 0, output: expect.stringContaining('loaded and counted') });
      const second = await load(shell, folder, target);
      expect(second).toMatchObject({ code: 1, output: expect.stringContaining('public.t') });
      expect(second.output).toContain('hold rows already. Nothing was loaded');
      expect(await rowsIn(target)).toBe(SMALL_ROWS);
    });

    test.each(PROGRAMS)('ends before it begins where there is no %s', async (missing) => {
      const { folder } = await smallKit();
      const target = await emptyTarget();
      const programs = await programsWithout(folder, missing);
      const outcome = await load(shell, folder, target, programs);
      expect(outcome).toMatchObject({ code: 1, output: expect.stringContaining(`no program ${missing}`) });
      expect(await rowsIn(target)).toBe(0);
    });

    test('names a damaged object and loads nothing of it', async () => {
      const { folder, backup } = await smallKit();
      const key = backup.objects[0]?.key ?? '';
      const body = await readFile(join(folder, key));
      body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1;
      await writeFile(join(folder, key), body);
      const target = await emptyTarget();
      const outcome = await load(shell, folder, target);
      expect(outcome).toMatchObject({ code: 1, output: expect.stringContaining(key) });
      expect(await rowsIn(target)).toBe(0);
    });

    test.each<[string, 'text' | 'binary', string]>([
      ['zstd', 'text', 'printf "1\\n2\\n"; kill -9 $$'],
      // To where a row ends: the server would take that for the end.
      ['zstd', 'binary', './real-zstd "$@" | head -c 59; kill -9 $$'],
      // Answers everything but the COPY of an object, of which the server gets whole rows before it is killed.
      [
        'psql',
        'binary',
        'case "$*" in *"FORMAT binary"*) { head -c 59; sleep 5; } | ./real-psql "$@" & sleep 1; kill -9 $!; kill -9 $$;; esac; ./real-psql "$@"',
      ],
      // Answers everything but a transaction, which it takes the first lines of.
      [
        'psql',
        'text',
        'IFS= read -r first; [ "$first" != BEGIN\\; ] || { head -c 20 >/dev/null; kill -9 $$; }; { printf "%s\\n" "$first"; cat; } | ./real-psql "$@"',
      ],
    ])(
      'loads an object whole or not at all when %s is killed half-way (rows as %s)',
      async (killed, format, script) => {
        const { folder, backup } = await smallKit(format);
        const target = await emptyTarget();
        const programs = await programsWithout(folder, killed);
        await writeFile(join(programs, killed), `#!/bin/sh\n${script}\n`);
        await chmod(join(programs, killed), 0o755);
        await symlink(join(server.binDirectory, 'psql'), join(folder, 'real-psql'));
        await symlink(
          await find('zstd', (process.env.PATH ?? '').split(delimiter)),
          join(folder, 'real-zstd'),
        );
        const outcome = await load(shell, folder, target, programs);
        expect(outcome.code).toBe(1);
        expect(outcome.output).toContain(`${backup.objects[0]?.key}: it was not loaded`);
        expect(await rowsIn(target)).toBe(0);
      },
    );

    test('finds that a table holds another number of rows than the backup says', async () => {
      const { folder } = await smallKit();
      const target = await emptyTarget();
      await query(
        server.url(target),
        "CREATE FUNCTION drop_one() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.i = 3 THEN RETURN NULL; END IF; RETURN NEW; END'",
        'CREATE TRIGGER loses BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_one()',
      );
      const outcome = await load(shell, folder, target);
      expect(outcome).toMatchObject({
        code: 1,
        output: expect.stringContaining(`public.t has ${SMALL_ROWS - 1} rows, the backup ${SMALL_ROWS}`),
      });
    });
  });

  /** A backup of one table of ten rows, with its kit beside it; a copy of its own for each caller. */
  async function smallKit(format: 'text' | 'binary' = 'binary') {
    const made = small.get(format) ?? (await takeSmallBackup(format));
    small.set(format, made);
    copies += 1;
    const folder = join(repository.path, `kit-${copies}`);
    await cp(made.folder, folder, { recursive: true });
    return { folder, backup: made.backup };
  }

  async function takeSmallBackup(format: 'text' | 'binary') {
    if (small.size === 0) {
      await query(server.url(), 'CREATE DATABASE small');
      await query(server.url('small'), `CREATE TABLE t AS SELECT generate_series(1, ${SMALL_ROWS}) AS i`);
    }
    const backup = await takeBackup(repository, server.url('small'), ysqlSource({ format }));
    const folder = join(repository.path, backup.context.folder);
    for (const { key, text } of ysqlEngine.restoreKit(backup.manifest, backup.objects)) {
      await writeFile(join(folder, key), text);
    }
    return { folder, backup };
  }

  /** A database with the backup's table and no rows. */
  async function emptyTarget(): Promise<string> {
    targets += 1;
    const name = `small_target_${targets}`;
    await query(server.url(), `CREATE DATABASE ${name}`);
    await query(server.url(name), 'CREATE TABLE t (i int)');
    return name;
  }

  async function rowsIn(database: string): Promise<number> {
    const [row] = await query(server.url(database), 'SELECT count(*)::int AS rows FROM t');
    return Number(row?.rows);
  }

  async function load(shell: string, folder: string, database: string, programs?: string) {
    const url = new URL(server.url());
    const environment = {
      ...process.env,
      PATH: programs ?? [server.binDirectory, process.env.PATH].join(delimiter),
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: url.username,
      PGPASSWORD: decodeURIComponent(url.password),
      PGDATABASE: database,
    };
    try {
      const { stdout, stderr } = await promisify(execFile)(`/bin/${shell}`, ['load-0.sh'], {
        cwd: folder,
        env: environment,
      });
      return { code: 0, output: stdout + stderr };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && 'stdout' in error && 'stderr' in error)) throw error;
      return { code: error.code, output: `${error.stdout}${error.stderr}` };
    }
  }

  /** A folder with links to all programs that the script runs but one, to be the whole PATH. */
  async function programsWithout(folder: string, missing: string): Promise<string> {
    const programs = join(folder, 'programs');
    await mkdir(programs);
    const folders = [server.binDirectory, ...(process.env.PATH ?? '').split(delimiter)];
    for (const program of [...PROGRAMS, 'sleep'].filter((name) => name !== missing)) {
      await symlink(await find(program, folders), join(programs, program));
    }
    return programs;
  }
});

async function find(program: string, folders: readonly string[]): Promise<string> {
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      await access(path);
      return path;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
  throw new Error(`there is no ${program} on this machine`);
}

/** The text of every fenced `sh` block. */
function shellBlocks(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, commands]) => commands ?? '');
}
