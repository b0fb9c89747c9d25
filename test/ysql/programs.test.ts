import { chmod, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { metadataDump } from '../../engines/universe/metadata-dump.ts';
import { checkSource } from '../../engines/ysql/check.ts';
import { dumpSchema } from '../../engines/ysql/schema-dump.ts';
import { readRelations, select } from '../../engines/ysql/server/catalog.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { dumpGlobals } from '../../engines/ysql/server/globals-dump.ts';
import { describeProgram } from '../../engines/ysql/server/programs/describe.ts';
import { dumpDriver } from '../../engines/ysql/server/programs/dump-driver.ts';
import { findProgram } from '../../engines/ysql/server/programs/find.ts';
import { configuredFolders } from '../../engines/ysql/server/programs/folders.ts';
import { isOlderRelease, readBanner } from '../../engines/ysql/server/programs/identity.ts';
import { takesOption } from '../../engines/ysql/server/programs/options.ts';
import { programError, runProgram } from '../../engines/ysql/server/programs/run.ts';
import { tryProgram } from '../../engines/ysql/server/programs/trial.ts';
import { readServer, type Server } from '../../engines/ysql/server/server.ts';
import { connect, type Session, withSession } from '../../engines/ysql/server/session.ts';
import type { LogicalReadPoint } from '../../model/backup.ts';
import { freePort } from '../../parts/ports.ts';
import { findPostgresPrograms, startPostgres } from '../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { CLIENT_LINES, type ClientLineName } from '../proxy/client-lines.ts';
import { TERMINAL } from '../proxy/programs/stand-in.ts';
import { startYsqlProxy } from '../proxy/proxy.ts';
import { writeYsqlTools } from '../proxy/tools.ts';
import { query } from '../support/sql.ts';
import { backupContext, createRepository, type TestRepository, takeBackup, ysqlSource } from './harness.ts';
import { startYugabyteStandIn, type YugabyteStandIn } from './yugabyte-stand-in.ts';

const { signal } = new AbortController();
let postgresBin: string;

beforeAll(async () => {
  postgresBin = await findPostgresPrograms();
});

function serverOf(line: ClientLineName): Server {
  const { version, major } = CLIENT_LINES[line];
  return { product: 'yugabytedb', version, major };
}

describe('programs are found where an installation has them', () => {
  let scratch: ScratchFolder;
  const before = { bin: process.env.HOLDFAST_YB_BIN, path: process.env.PATH };

  beforeEach(async () => {
    scratch = await createScratchFolder('programs');
    delete process.env.HOLDFAST_YB_BIN;
    process.env.PATH = before.path;
  });
  afterEach(async () => {
    if (before.bin === undefined) delete process.env.HOLDFAST_YB_BIN;
    else process.env.HOLDFAST_YB_BIN = before.bin;
    process.env.PATH = before.path;
    await scratch.remove();
  });

  test.each<ClientLineName>(['2.18', '2024.2', '2025.2', '2026.1'])(
    '%s, by the banner `(YSQL)`, from bin, postgres/bin or the home',
    async (line) => {
      const home = join(scratch.path, 'yugabyte');
      await writeYsqlTools(home, postgresBin, line);
      for (const folder of ['bin', 'postgres/bin', '.']) {
        process.env.HOLDFAST_YB_BIN = join(home, folder);
        const found = await findProgram('dump', serverOf(line));
        expect(found).toMatchObject({
          path: join(home, 'postgres/bin/ysql_dump'),
          product: 'yugabytedb',
          version: CLIENT_LINES[line].version,
        });
        expect((await findProgram('dumpall', serverOf(line))).path).toBe(
          join(home, 'postgres/bin/ysql_dumpall'),
        );
        expect((await findProgram('shell', serverOf(line))).path).toMatch(/\/ysqlsh$/);
      }
    },
  );

  test('bin, postgres/bin and the home of an installation lead to each other’s programs', () => {
    for (const folder of ['bin', 'postgres/bin', '.']) {
      const folders = configuredFolders({ HOLDFAST_YB_BIN: join('/srv/dbs/yb', folder) });
      expect(folders).toEqual(expect.arrayContaining(['/srv/dbs/yb/bin', '/srv/dbs/yb/postgres/bin']));
      expect(folders.filter((one) => !one.startsWith('/srv'))).toEqual([]);
    }
  });

  test.each<ClientLineName>(['2.18', '2025.2'])(
    'an option of %s is known by running the program, whatever its help says',
    async (line) => {
      process.env.HOLDFAST_YB_BIN = await writeYsqlTools(join(scratch.path, line), postgresBin, line);
      const program = await findProgram('dump', serverOf(line));
      const { readTime, statistics, roleChecks } = CLIENT_LINES[line];
      const wanted = {
        '--read-time=1': readTime,
        '--no-statistics': statistics,
        '--dump-role-checks': roleChecks,
        '--include-yb-metadata': true,
        '--no-such-option': false,
      };
      const found = await Promise.all(
        Object.keys(wanted).map(async (option) => [option, await takesOption(program, option)] as const),
      );
      expect(Object.fromEntries(found)).toEqual(wanted);
    },
  );

  test.each<ClientLineName>(['2.18', '2025.2'])(
    'what %s can do is asked of it: no statistics of the planner, and questions after roles in a universe’s schema',
    async (line) => {
      process.env.HOLDFAST_YB_BIN = await writeYsqlTools(join(scratch.path, line), postgresBin, line);
      const { statistics, roleChecks } = CLIENT_LINES[line];
      const logical = await (await dumpDriver(serverOf(line), undefined)).commonOptions();
      expect(logical.includes('--no-statistics')).toBe(statistics);
      const universe = (await metadataDump(serverOf(line))).options(undefined);
      expect(universe).toContain('--include-yb-metadata');
      expect(universe.includes('--no-statistics')).toBe(statistics);
      expect(universe.includes('--dump-role-checks')).toBe(roleChecks);
    },
  );

  test('PostgreSQL’s own programs never stand in for YugabyteDB’s, and the error names where it looked', async () => {
    process.env.HOLDFAST_YB_BIN = scratch.path;
    await expect(findProgram('dump', serverOf('2025.2'))).rejects.toMatchObject({
      code: 'DUMP_PROGRAM_MISSING',
      message: expect.stringMatching(/ysql_dump of YugabyteDB.*\/home\/yugabyte\/tserver\/postgres\/bin/s),
    });
    expect(await findProgram('dump', serverOf('2025.2'), 'postgresql')).toMatchObject({
      product: 'postgresql',
    });
  });

  test('a client of an older PostgreSQL than the server is refused', async () => {
    process.env.HOLDFAST_YB_BIN = await writeYsqlTools(join(scratch.path, 'old'), postgresBin, '2024.2');
    await expect(findProgram('dump', serverOf('2025.2'))).rejects.toMatchObject({
      code: 'DUMP_PROGRAM_TOO_OLD',
    });
  });

  test('of several the configured one is taken, else the server’s PostgreSQL version before a newer, and of it the newest release', async () => {
    const folders: string[] = [];
    for (const line of ['2025.2', '2.18', '2024.2'] as const) {
      const home = join(scratch.path, line);
      await writeYsqlTools(home, postgresBin, line);
      folders.push(join(home, 'postgres/bin'));
    }
    process.env.PATH = [...folders, before.path].join(':');
    expect((await findProgram('dump', serverOf('2.18'))).version).toContain('2024.2');
    expect((await findProgram('dump', serverOf('2025.2'))).version).toContain('2025.2');
    process.env.HOLDFAST_YB_BIN = join(scratch.path, '2.18/bin');
    expect((await findProgram('dump', serverOf('2024.2'))).version).toContain('2.18');
  });

  test('a program that is replaced is asked anew', async () => {
    const file = join(scratch.path, 'ysql_dump');
    process.env.HOLDFAST_YB_BIN = scratch.path;
    const write = async (version: string, at: number) => {
      await writeFile(file, `#!/bin/sh\necho 'ysql_dump (YSQL) ${version}'\n`);
      await chmod(file, 0o755);
      await utimes(file, at, at);
    };
    await write('15.2-YB-2025.1.0.0-b0', 1_700_000_000);
    expect((await findProgram('dump', serverOf('2025.2'))).version).toBe('15.2-YB-2025.1.0.0-b0');
    await write('15.9-YB-2025.3.0.0-b0', 1_700_000_100);
    expect((await findProgram('dump', serverOf('2025.2'))).version).toBe('15.9-YB-2025.3.0.0-b0');
  });

  test('one that does not run is no reason to pass over another, and is named where there is no other', async () => {
    const broken = join(scratch.path, 'broken');
    await mkdir(broken);
    await writeFile(join(broken, 'ysql_dump'), '#!/bin/sh\nexit 126\n');
    await chmod(join(broken, 'ysql_dump'), 0o755);
    process.env.HOLDFAST_YB_BIN = broken;
    await expect(findProgram('dump', serverOf('2025.2'))).rejects.toMatchObject({
      code: 'DUMP_PROGRAM_BROKEN',
      message: expect.stringContaining(broken),
    });
    await writeYsqlTools(join(scratch.path, 'whole'), postgresBin, '2025.2');
    process.env.PATH = `${join(scratch.path, 'whole/postgres/bin')}:${before.path}`;
    const other = await findProgram('dump', serverOf('2025.2'));
    expect(other.path).toContain('whole');
    expect(describeProgram(other, serverOf('2025.2'))).toContain(`HOLDFAST_YB_BIN names ${broken}`);
  });

  test('a pg_dump under the name of ysql_dump is named as what it is, and a folder that is not there as such', async () => {
    await symlink(join(postgresBin, 'pg_dump'), join(scratch.path, 'ysql_dump'));
    process.env.HOLDFAST_YB_BIN = scratch.path;
    await expect(findProgram('dump', serverOf('2025.2'))).rejects.toMatchObject({
      code: 'DUMP_PROGRAM_BROKEN',
      message: expect.stringContaining(`${scratch.path}/ysql_dump: by its banner it is PostgreSQL's own`),
    });
    process.env.HOLDFAST_YB_BIN = join(scratch.path, 'nowhere');
    await expect(findProgram('dump', serverOf('2025.2'))).rejects.toMatchObject({
      code: 'DUMP_PROGRAM_MISSING',
      message: expect.stringContaining(`HOLDFAST_YB_BIN is ${scratch.path}/nowhere, which is not there`),
    });
  });

  test('a symbolic link to an installation’s bin leads to its postgres/bin', async () => {
    await writeYsqlTools(join(scratch.path, 'releases/2025.2'), postgresBin, '2025.2');
    const link = join(scratch.path, 'yugabyte-bin');
    await symlink(join(scratch.path, 'releases/2025.2/bin'), link);
    process.env.HOLDFAST_YB_BIN = link;
    expect((await findProgram('dump', serverOf('2025.2'))).path).toMatch(/postgres\/bin\/ysql_dump$/);
  });

  test('one that may not be executed is named as such, and not as missing', async () => {
    await writeFile(join(scratch.path, 'ysql_dump'), '#!/bin/sh\n', { mode: 0o644 });
    process.env.HOLDFAST_YB_BIN = scratch.path;
    await expect(findProgram('dump', serverOf('2025.2'))).rejects.toMatchObject({
      code: 'DUMP_PROGRAM_BROKEN',
      message: expect.stringContaining(`${scratch.path}/ysql_dump: the worker may not execute it`),
    });
  });
});

test.each([
  ['/x/ysql_dump', 'ysql_dump (YSQL) 11.2-YB-2024.2.1.0-b0', 'yugabytedb', 11],
  ['/x/ysql_dump', 'ysql_dump (YSQL) 15devel', 'yugabytedb', 15],
  ['/x/pg_dump', 'pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)', 'postgresql', 15],
  ['/x/ysqlsh', 'psql (PostgreSQL) 11.2', 'yugabytedb', 11],
  ['/x/psql', 'psql (PostgreSQL) 17.1', 'postgresql', 17],
])('%s that says %j is %s’s, of %i', (path, banner, product, major) => {
  expect(readBanner(path, banner)).toMatchObject({ product, major });
});

test('releases of YugabyteDB are compared number by number', () => {
  const version = (release: string) => `15.12-YB-${release}`;
  expect(isOlderRelease(version('2024.2.1.0-b185'), version('2024.2.10.0-b1'))).toBe(true);
  expect(isOlderRelease(version('2024.2.1.0-b185'), version('2024.2.1.0-b9'))).toBe(false);
  expect(isOlderRelease('15.12', version('2024.2.1.0-b9'))).toBe(false);
});

describe('a dump is of the server and the moment that were meant', () => {
  let yugabyte: YugabyteStandIn;
  let repository: TestRepository;
  /** Another server, where programs go that heed no host: localhost, at the same port. */
  let decoy: { stop(): Promise<void> };

  beforeAll(async () => {
    const port = await freePort();
    yugabyte = await startYugabyteStandIn('2025.2', { host: '127.0.0.5', port });
    await query(yugabyte.server.url(), 'CREATE DATABASE shop', 'CREATE ROLE keeper');
    await query(
      yugabyte.server.url('shop'),
      'CREATE TABLE only_here (id int PRIMARY KEY, v text)',
      'INSERT INTO only_here SELECT i, i FROM generate_series(1, 50) i',
    );
    const other = await startPostgres();
    // The same name and password there, so that nothing but its tables tells the two apart.
    const { password } = new URL(yugabyte.server.url());
    await query(other.url(), 'CREATE DATABASE shop', `ALTER ROLE postgres PASSWORD '${password}'`);
    const otherUrl = (database: string) => other.url(database).replace(other.password, password);
    await query(otherUrl('shop'), 'CREATE TABLE of_the_decoy (id int PRIMARY KEY)');
    const proxy = await startYsqlProxy({ upstreamUrl: otherUrl('shop'), host: '127.0.0.1', port });
    decoy = {
      async stop() {
        await proxy.stop();
        await other.stop();
      },
    };
    repository = await createRepository();
  });
  afterAll(async () => {
    await decoy?.stop();
    await yugabyte?.stop();
    await repository?.remove();
  });

  const target = () => parseConnectionUrl(yugabyte.url('shop'));
  const server = () => withSession(target(), 'shop', signal, readServer);

  test('the host of the plan is dumped, not the localhost that ysql_dump takes by itself', async () => {
    const { manifest } = await takeBackup(repository, yugabyte.url('shop'));
    expect(manifest.databases[0]?.tables.map(({ table }) => table)).toEqual(['only_here']);
    const dumped = await dumpPreData(undefined);
    expect(dumped).toContain('only_here');
    expect(dumped).not.toContain('of_the_decoy');
  });

  test('what a program dumped elsewhere is refused by name', async () => {
    const deaf = await createScratchFolder('deaf');
    const own = await findProgram('dump', await server());
    // As `ysql_dump` would behave that heeded no host at all.
    await writeFile(
      join(deaf.path, 'ysql_dump'),
      `#!/bin/sh\nfor a do shift; case $a in --host=*) ;; *) set -- "$@" "$a" ;; esac; done\nexec '${own.path}' "$@"\n`,
    );
    await chmod(join(deaf.path, 'ysql_dump'), 0o755);
    const before = process.env.HOLDFAST_YB_BIN;
    process.env.HOLDFAST_YB_BIN = deaf.path;
    try {
      await expect(takeBackup(repository, yugabyte.url('shop'))).rejects.toMatchObject({
        code: 'DUMP_OF_ANOTHER_SCHEMA',
        message: expect.stringMatching(/lacks public\.only_here.*has public\.of_the_decoy/),
      });
    } finally {
      process.env.HOLDFAST_YB_BIN = before;
      await deaf.remove();
    }
  });

  test('an exported snapshot is imported, although ysql_dump is serializable by itself', async () => {
    // Past the proxy, whose server exports no snapshots unless it is told to.
    const holder = await connect(parseConnectionUrl(yugabyte.server.url('shop')), 'shop', signal);
    try {
      await holder.query('begin', 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const [row] = await holder.query<{ id: string }>('export', 'SELECT pg_export_snapshot() AS id');
      await query(yugabyte.server.url('shop'), 'CREATE TABLE later (id int)');
      const dumped = await dumpPreData(
        {
          kind: 'pg-snapshot',
          epoch: 1,
          takenAt: new Date().toISOString(),
          snapshots: { shop: row?.id ?? '' },
        },
        holder,
      );
      expect(dumped).toContain('only_here');
      expect(dumped).not.toContain('later');
    } finally {
      await holder.close();
      await query(yugabyte.server.url('shop'), 'DROP TABLE IF EXISTS later');
    }
  });

  test('the URL’s options reach the programs as they reach sessions', async () => {
    const url = new URL(yugabyte.url('shop'));
    // A plus would be a plus: libpq knows no other space than this.
    url.search = `options=${encodeURIComponent('-c role=keeper')}`;
    const program = await findProgram('dump', await server());
    await expect(
      runProgram(program, parseConnectionUrl(url.href), 'shop', ['--schema-only'], signal),
    ).rejects.toThrow(/permission denied/);
  });

  test.each([
    ['a wrong password', (url: URL) => (url.password = 'wrong'), { code: 'YSQL_FAILED', transient: false }],
    [
      'a database that is not there',
      (url: URL) => (url.pathname = '/nowhere'),
      { code: 'YSQL_FAILED', transient: false },
    ],
    ['nobody who answers', (url: URL) => (url.port = '1'), { code: 'YSQL_UNAVAILABLE', transient: true }],
  ])('ysql_dumpall hides %s, and the error tells it', async (_, change, expected) => {
    const url = new URL(yugabyte.url('shop'));
    change(url);
    const from = {
      verb: backupContext(repository, url.href),
      target: parseConnectionUrl(url.href),
      server: await server(),
    };
    await expect(dumpGlobals(from, 'roles')).rejects.toMatchObject(expected);
  });

  test('a database whose name reads as a connection string is dumped as what it is named', async () => {
    const odd = "host=nowhere 'x' é/%25?#";
    await query(yugabyte.server.url('postgres'), `CREATE DATABASE "${odd}"`);
    const url = yugabyte.url('postgres').replace(/postgres$/, encodeURIComponent(odd));
    const target = parseConnectionUrl(url);
    const server = await withSession(target, odd, signal, readServer);
    for (const kind of ['dump', 'dumpall'] as const) {
      const args = kind === 'dump' ? ['--schema-only'] : ['--roles-only'];
      const text = await runProgram(await findProgram(kind, server), target, odd, args, signal);
      expect(text.toString()).toContain('PostgreSQL database');
    }
  });

  test.each(['dump', 'dumpall'] as const)(
    'without a password ysql_%s ends instead of asking the terminal for one',
    async (kind) => {
      const url = new URL(yugabyte.url('shop'));
      url.password = '';
      const program = await findProgram(kind, await server());
      process.env[TERMINAL] = '1';
      try {
        const patience = AbortSignal.timeout(60_000);
        const asked = runProgram(program, parseConnectionUrl(url.href), 'shop', ['--schema-only'], patience);
        await expect(asked).rejects.toMatchObject({ code: 'YSQL_FAILED', transient: false });
      } finally {
        delete process.env[TERMINAL];
      }
    },
    120_000,
  );

  describe('where the program can only dump the present', () => {
    const present = async (meanwhile: () => Promise<unknown>) => {
      const reader = await connect(target(), 'shop', signal);
      try {
        const micros = String(BigInt(Date.now()) * 1000n);
        await reader.query('read an instant', `SET yb_read_time = ${micros}`);
        await reader.query('look', 'SELECT 1');
        await meanwhile();
        return await dumpPreData(
          { kind: 'yb-read-time', epoch: 1, takenAt: new Date().toISOString(), micros },
          reader,
        );
      } finally {
        await reader.close();
      }
    };
    let old: ScratchFolder;
    beforeAll(async () => {
      old = await createScratchFolder('no-read-time');
      const own = await findProgram('dump', await server());
      await writeFile(
        join(old.path, 'ysql_dump'),
        `#!/bin/sh\ncase " $* " in *' --read-time'*) echo "$0: unrecognized option '--read-time=1'" >&2; exit 1 ;; esac\nexec '${own.path}' "$@"\n`,
      );
      await chmod(join(old.path, 'ysql_dump'), 0o755);
      process.env.HOLDFAST_YB_BIN = old.path;
    });
    afterAll(async () => {
      process.env.HOLDFAST_YB_BIN = yugabyte.programs;
      await old.remove();
    });

    test('ANALYZE and temporary tables, which raise the catalog version, do not cost the read point', async () => {
      const stop = new AbortController();
      const churn = withSession(
        parseConnectionUrl(yugabyte.server.url('shop')),
        'shop',
        signal,
        async (session) => {
          for (let made = 0; !stop.signal.aborted; made += 1) {
            await session.query('make a temporary table', `CREATE TEMP TABLE t${made} (id int)`);
            await session.query('analyze', 'ANALYZE public.only_here');
          }
        },
      );
      expect(await present(async () => undefined)).toContain('only_here');
      stop.abort();
      await churn;
    });

    test.each([
      ['a table', 'CREATE TABLE late (id int)', 'DROP TABLE late'],
      [
        'a default',
        'ALTER TABLE only_here ALTER v SET DEFAULT $$x$$',
        'ALTER TABLE only_here ALTER v DROP DEFAULT',
      ],
      ['a policy', 'CREATE POLICY p ON only_here USING (true)', 'DROP POLICY p ON only_here'],
      ['an enum', 'CREATE TYPE late AS ENUM ($$a$$)', 'DROP TYPE late'],
      ['a comment', 'COMMENT ON TABLE only_here IS $$x$$', 'COMMENT ON TABLE only_here IS NULL'],
      ['a view', 'CREATE VIEW late AS SELECT 1 AS one', 'DROP VIEW late'],
      [
        'a setting of the database',
        'ALTER DATABASE shop SET work_mem = $$5MB$$',
        'ALTER DATABASE shop RESET work_mem',
      ],
      [
        'a default privilege',
        'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO keeper',
        'ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM keeper',
      ],
      ['a publication', 'CREATE PUBLICATION late FOR TABLE only_here', 'DROP PUBLICATION late'],
    ])('%s that came after the read point does', async (_, change, undo) => {
      try {
        await expect(present(() => query(yugabyte.server.url('shop'), change))).rejects.toMatchObject({
          code: 'READ_POINT_LOST',
        });
      } finally {
        await query(yugabyte.server.url('shop'), undo);
      }
    });
  });

  describe('a program that answers what it is, and crashes when it works', () => {
    let broken: ScratchFolder;
    beforeAll(async () => {
      broken = await createScratchFolder('crashes');
      for (const [kind, name] of [
        ['dump', 'ysql_dump'],
        ['dumpall', 'ysql_dumpall'],
      ] as const) {
        const own = await findProgram(kind, await server());
        const file = join(broken.path, name);
        // What only asks for its name or its options is passed on.
        await writeFile(
          file,
          `#!/bin/sh\ncase " $* " in *' --host='*) echo "$0: symbol lookup error: undefined symbol: PQsomething" >&2; exit 127 ;; esac\nexec '${own.path}' "$@"\n`,
        );
        await chmod(file, 0o755);
      }
    });
    afterAll(() => broken.remove());

    test('is found out by doctor, and its words are told', async () => {
      const context = backupContext(repository, yugabyte.url('shop'));
      const source = ysqlSource({ globals: 'roles' });
      const ofPrograms = async () =>
        (await checkSource(context, source)).filter(({ name }) => name.startsWith('program that dumps'));
      for (const found of await ofPrograms())
        expect(found).toMatchObject({
          ok: true,
          detail: expect.stringContaining('a trial run of it ended well'),
        });
      process.env.HOLDFAST_YB_BIN = broken.path;
      try {
        const found = await ofPrograms();
        expect(found).toHaveLength(2);
        for (const each of found) {
          expect(each).toMatchObject({ ok: false, detail: expect.stringContaining('symbol lookup error') });
        }
      } finally {
        process.env.HOLDFAST_YB_BIN = yugabyte.programs;
      }
    });

    test('one that does not end in time is told so', async () => {
      const slow = await findProgram('dump', await server());
      await expect(tryProgram(slow, target(), ['--schema-only'], signal, 1)).resolves.toMatch(
        /had not ended after 0\.001 s/,
      );
    });
  });

  test('pg_dump dumps it where the plan says so, and manifest and doctor list what is lost', async () => {
    const before = process.env.HOLDFAST_YB_BIN;
    delete process.env.HOLDFAST_YB_BIN;
    try {
      await expect(takeBackup(repository, yugabyte.url('shop'))).rejects.toMatchObject({
        code: 'DUMP_PROGRAM_MISSING',
      });
      const source = ysqlSource({ dumpProgram: 'pg_dump' });
      const { manifest } = await takeBackup(repository, yugabyte.url('shop'), source);
      expect(manifest.databases[0]?.losses?.join('\n')).toMatch(
        /HASH, ASC, DESC[\s\S]*colocation[\s\S]*split/,
      );
      const checks = await checkSource(backupContext(repository, yugabyte.url('shop')), source);
      expect(checks.find(({ name }) => name.includes('dumps the schema'))?.detail).toMatch(
        /pg_dump.*lost.*colocation/,
      );
    } finally {
      process.env.HOLDFAST_YB_BIN = before;
    }
  });

  /** At the read point, which is now where none is given. */
  async function dumpPreData(readPoint: LogicalReadPoint | undefined, session?: Session): Promise<string> {
    const reader = session ?? (await connect(target(), 'shop', signal));
    const now = {
      kind: 'yb-read-time' as const,
      epoch: 1,
      takenAt: new Date().toISOString(),
      micros: String(BigInt(Date.now()) * 1000n),
    };
    try {
      const selection = await select(reader, await readRelations(reader), ysqlSource());
      const from = {
        verb: backupContext(repository, yugabyte.url('shop')),
        target: target(),
        server: await server(),
        readPoint: readPoint ?? now,
      };
      return (await dumpSchema(from, reader, selection)).preData;
    } finally {
      if (session === undefined) await reader.close();
    }
  }
});

test.each([
  ['Catalog Version Mismatch: A DDL occurred while processing this query. Try again.', true],
  ['query failed: ERROR:  Restart read required at: { read: … }', true],
  ['query failed: ERROR:  relation "x" does not exist', false],
  ['connection to server at "h", port 5433 failed: Connection refused', true],
])('a program that says %j: it passes by itself: %s', (said, passes) => {
  expect(programError('/x/ysql_dump', said)).toMatchObject({ transient: passes });
});
