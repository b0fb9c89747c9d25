import { ysqlEngine } from '../../engines/ysql/engine.ts';
import type { LogicalRestoreRequest } from '../../model/backup.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
} from './harness.ts';

/* Event triggers of the backup fire on nothing that the restore does, and are as they were when it has ended. */

const AUDIT = [
  'CREATE TABLE zaudit (n serial, tag text)',
  "INSERT INTO zaudit (tag) VALUES ('from the backup')",
  `CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.zaudit (tag) VALUES (tg_tag); END $$`,
];
const REFUSE = `CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no changes in production'; END $$`;
const LARGE_OBJECT = [
  "SELECT lo_from_bytea(4711, 'x')",
  'ALTER LARGE OBJECT 4711 OWNER TO lo_owner',
  'GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC',
  "COMMENT ON LARGE OBJECT 4711 IS 'a letter'",
];
const ON_ALL = [
  'CREATE EVENT TRIGGER e1 ON ddl_command_end EXECUTE FUNCTION noted()',
  'CREATE EVENT TRIGGER e2 ON sql_drop EXECUTE FUNCTION noted()',
];
const always = (name: string) => `ALTER EVENT TRIGGER ${name} ENABLE ALWAYS`;

const SOURCES: Readonly<Record<string, readonly string[]>> = {
  'write into an audit table': [...AUDIT, ...ON_ALL],
  'write into an audit table always': [...AUDIT, ...ON_ALL, always('e1'), always('e2')],
  'write on a replica': [...AUDIT, ...ON_ALL, 'ALTER EVENT TRIGGER e1 ENABLE REPLICA'],
  'are switched off': [...AUDIT, ...ON_ALL, 'ALTER EVENT TRIGGER e1 DISABLE'],
  'have a hostile name': [
    ...AUDIT,
    `CREATE EVENT TRIGGER "Disable; it's ""x""" ON sql_drop EXECUTE FUNCTION noted()`,
    `COMMENT ON EVENT TRIGGER "Disable; it's ""x""" IS 'watch'`,
  ],
  'refuse drops': [REFUSE, 'CREATE EVENT TRIGGER e1 ON sql_drop EXECUTE FUNCTION refuse()'],
  'refuse any change beside large objects': [
    REFUSE,
    ...LARGE_OBJECT,
    'CREATE EVENT TRIGGER e1 ON ddl_command_end EXECUTE FUNCTION refuse()',
    always('e1'),
  ],
  'write beside large objects': [...AUDIT, ...LARGE_OBJECT, ...ON_ALL],
};

describe('event triggers', () => {
  let server: TestServer;
  let repository: TestRepository;
  let count = 0;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(server.url(), 'CREATE ROLE lo_owner', "CREATE ROLE loader LOGIN PASSWORD 'secret'");
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  async function created(statements: readonly string[]): Promise<string> {
    count += 1;
    const name = `watched_${count}`;
    await query(server.url(), `CREATE DATABASE ${name}`);
    await query(
      server.url(name),
      'CREATE TABLE orders (id int PRIMARY KEY)',
      'INSERT INTO orders VALUES (1)',
    );
    await query(server.url(name), 'CREATE INDEX ON orders (id)', ...statements);
    return name;
  }

  /** A backup of a database of these statements, and a context that restores it into `<name>_copy`. */
  async function backedUp(statements: readonly string[], changes: Partial<LogicalRestoreRequest> = {}) {
    const source = await created(statements);
    const backup = await takeBackup(repository, server.url(source));
    const copy = `${source}_copy`;
    return {
      source,
      copy,
      backup,
      context: restoreContext(backup, server.url(), { into: { [source]: copy }, ...changes }),
    };
  }

  const differences = (source: string, copy: string) =>
    compareDatabases(server, server.url(source), server.url(copy), { ignoreDatabaseProperties: true });

  const triggersOf = (name: string) =>
    query(server.url(name), 'SELECT evtname AS name, evtenabled AS enabled FROM pg_event_trigger ORDER BY 1');

  test.each(Object.keys(SOURCES))('that %s: the copy equals its source after the end', async (what) => {
    const { source, copy, context } = await backedUp(SOURCES[what] ?? []);
    const outcome = await runRestore(context);
    expect(outcome.problems).toEqual([]);
    expect(await differences(source, copy)).toEqual([]);
    const left = await query(
      server.url(),
      `SELECT datname FROM pg_database WHERE datname LIKE '${copy}\\_%'`,
    );
    expect(left).toEqual([]);
  });

  test('fire in the copy as soon as it is there', async () => {
    const { copy, context } = await backedUp([...AUDIT, ...ON_ALL]);
    await runRestore(context);
    await query(server.url(copy), 'CREATE TABLE later ()');
    expect(await query(server.url(copy), 'SELECT n, tag FROM zaudit ORDER BY n')).toEqual([
      { n: 1, tag: 'from the backup' },
      { n: 2, tag: 'CREATE TABLE' },
    ]);
  });

  test('come back with a restore that tolerates, once it is released', async () => {
    const broken = [
      'CREATE FUNCTION limited() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 5 $$',
      'CREATE TABLE checked (a int CHECK (a < limited()))',
      'INSERT INTO checked VALUES (3)',
      'CREATE OR REPLACE FUNCTION limited() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 1 $$',
    ];
    const wish = { tolerate: true, takeName: true };
    const { copy, context } = await backedUp([...broken, ...AUDIT, ...ON_ALL, always('e2')], wish);
    const outcome = await runRestore(context);
    expect(outcome.leftOut).toMatchObject([{ kind: 'CHECK CONSTRAINT' }]);
    await ysqlEngine.restore.release?.(context);
    expect(await triggersOf(copy)).toEqual([
      { name: 'e1', enabled: 'O' },
      { name: 'e2', enabled: 'A' },
    ]);
    expect(await query(server.url(copy), 'SELECT n FROM zaudit')).toEqual([{ n: 1 }]);
  });

  test('stay with the superuser that restores where all else gets one owner', async () => {
    const { copy, context } = await backedUp([...AUDIT, ...ON_ALL], { owner: 'lo_owner' });
    const outcome = await runRestore(context);
    expect(outcome.problems).toEqual([]);
    expect(
      await query(
        server.url(copy),
        `SELECT pg_get_userbyid(evtowner) = 'lo_owner' AS given FROM pg_event_trigger
         UNION SELECT pg_get_userbyid(relowner) <> 'lo_owner' FROM pg_class WHERE relname = 'zaudit'`,
      ),
    ).toEqual([{ given: false }]);
  });

  test('of a rehearsal are as they were, too', async () => {
    const { source, context } = await backedUp([...AUDIT, ...ON_ALL], { scratch: true, into: {} });
    const outcome = await runRestore(context);
    const [made] = outcome.databases;
    expect(outcome.problems).toEqual([]);
    expect(await differences(source, made?.to ?? '')).toEqual([]);
  });

  describe('of a database that takes data alone', () => {
    const TABLE = 'CREATE TABLE taken (n int REFERENCES orders)';
    const EXISTING = [
      TABLE,
      ...AUDIT.slice(0, 1),
      ...AUDIT.slice(2),
      REFUSE,
      ...ON_ALL,
      'CREATE EVENT TRIGGER e3 ON sql_drop EXECUTE FUNCTION refuse()',
      always('e3'),
      'CREATE EVENT TRIGGER e4 ON sql_drop EXECUTE FUNCTION refuse()',
      'ALTER EVENT TRIGGER e4 DISABLE',
    ];

    async function dataInto(url: (name: string) => string) {
      const { source, backup } = await backedUp([TABLE, 'INSERT INTO taken VALUES (1)']);
      const into = await created(EXISTING);
      // Holdfast counts the rows of these tables only; the audit table is the target's own.
      await query(server.url(into), 'GRANT ALL ON orders, taken TO loader', 'TRUNCATE orders, taken, zaudit');
      const before = await triggersOf(into);
      const request: Partial<LogicalRestoreRequest> = { into: { [source]: into }, contents: 'data' };
      return { into, before, context: restoreContext(backup, url(into), request) };
    }

    test('see nothing of the bookkeeping, and are as they were', async () => {
      const { into, before, context } = await dataInto((name) => server.url(name));
      const outcome = await runRestore(context);
      expect(outcome.problems).toEqual([]);
      expect(await query(server.url(into), 'SELECT * FROM zaudit')).toEqual([]);
      expect(await triggersOf(into)).toEqual(before);
    });

    test('are named with a way out where the role may not switch off one that refuses', async () => {
      const { into, context } = await dataInto((name) => {
        const url = new URL(server.url(name));
        url.username = 'loader';
        url.password = 'secret';
        return url.href;
      });
      await query(
        server.url(into),
        'DROP EVENT TRIGGER e1',
        'DROP EVENT TRIGGER e2',
        'CREATE EVENT TRIGGER e5 ON ddl_command_end EXECUTE FUNCTION refuse()',
        `GRANT CREATE ON DATABASE ${into} TO loader`,
      );
      await ysqlEngine.restore.plan(context);
      await expect(ysqlEngine.restore.prepare(context)).rejects.toMatchObject({
        code: 'RESTORE_EVENT_TRIGGER',
        message: expect.stringMatching(/event triggers that this role may not switch off: "e3", "e5"/),
        remedy: expect.stringContaining('DISABLE'),
      });
    });
  });
});
