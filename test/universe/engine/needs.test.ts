import { requireRoles, requireSuperuser } from '../../../engines/universe/restore/needs.ts';
import { parseConnectionUrl } from '../../../engines/ysql/server/connection-url.ts';
import { readDump } from '../../../engines/ysql/server/dump-script.ts';
import { type Session, withSession } from '../../../engines/ysql/server/session.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { query } from '../../support/sql.ts';

/* What a restore of a universe needs is asked before anything is written (M7 and R17 of the facts on the programs). */

let postgres: PostgresServer;

beforeAll(async () => {
  postgres = await startPostgres();
  await query(postgres.url(), "CREATE ROLE plain LOGIN PASSWORD 'plain'", 'CREATE ROLE "with\nline"');
});

afterAll(() => postgres?.stop());

function asRole<T>(role: string | undefined, work: (session: Session) => Promise<T>): Promise<T> {
  const url = new URL(postgres.url());
  if (role !== undefined) [url.username, url.password] = [role, role];
  return withSession(parseConnectionUrl(url.href), 'postgres', new AbortController().signal, work);
}

test('a role that is no superuser is told so, with what to do', async () => {
  expect(await asRole(undefined, requireSuperuser)).toBe(new URL(postgres.url()).username);
  await expect(asRole('plain', requireSuperuser)).rejects.toMatchObject({
    code: 'RESTORE_NEEDS_SUPERUSER',
    transient: false,
    remedy: expect.stringContaining('ALTER ROLE "plain" SUPERUSER'),
  });
});

test('every role that is missing is named, also those of questions that ysql_dump asks', async () => {
  const dump = readDump(
    '--\n-- Name: t; Type: TABLE; Schema: public; Owner: gone\n--\n\nCREATE TABLE public.t ();\n\n\\set use_roles true\n\\if :use_roles\n' +
      "SELECT EXISTS(SELECT 1 FROM pg_roles WHERE rolname = 'gone') AS role_exists \\gset\n\\if :role_exists\n" +
      "    ALTER TABLE public.t OWNER TO gone;\n\\else\n    \\echo 'Skipping owner privilege due to missing role:' gone\n\\endif\n\\endif\n\n" +
      '--\n-- Name: TABLE t; Type: ACL; Schema: public; Owner: with line\n--\n\nGRANT ALL ON TABLE public.t TO "with\nline";\nGRANT ALL ON TABLE public.t TO absent;\n',
  );
  await expect(asRole(undefined, (session) => requireRoles(session, [dump]))).rejects.toMatchObject({
    code: 'RESTORE_ROLE_MISSING',
    message: expect.stringMatching(/: absent, gone$/),
  });
});
