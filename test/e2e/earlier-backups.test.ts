import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { RestoreSummary } from '../../model/backup.ts';
import { startCassandra } from '../../parts/cassandra.ts';
import { startPostgres } from '../../parts/postgres.ts';
import { holdfastJson } from '../support/holdfast.ts';
import { repositoryDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';
import { plainClient } from '../ycql/zoo.ts';
import { ZOO_ROLES } from '../ysql/harness.ts';

/**
 * Backups that commit 1881cb4 made, before the engines moved to engines/, and `packs`, made when small tables began to travel in packs: whatever is
 * changed, they come back. The one of a universe is
 * restored by test/universe/engine/cycle.test.ts, which has a universe.
 */
const FIXTURES = path.resolve(__dirname, '..', 'fixtures', 'backups');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-earlier-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function planOf(name: string, source: string): Promise<string> {
  await cp(path.join(FIXTURES, name), path.join(folder, 'repository'), { recursive: true });
  const file = path.join(folder, 'plan.yaml');
  const plan = `---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${name} }
spec:
  source: ${source}
  repository: main
`;
  await writeFile(file, repositoryDocument(folder) + plan);
  return file;
}

const restore = (file: string, environment: NodeJS.ProcessEnv, ...args: readonly string[]) =>
  holdfastJson<RestoreSummary>(['restore', file, ...args], {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ...environment,
  });

test.each([
  ['ysql', 'an object for each table'],
  ['packs', 'a pack of small tables, as of manifest format 2'],
])('an earlier backup of ysql comes back: %s, %s', async (name) => {
  const server = await startPostgres();
  try {
    await query(server.url(), ...ZOO_ROLES.map((role) => `CREATE ROLE "${role}"`));
    const file = await planOf(name, '{ ysql: { connection: { env: URL } } }');
    const restored = await restore(
      file,
      { URL: server.url() },
      ...['--into', 'zoo=zoo_again', '--check', 'content'],
    );
    expect(restored).toMatchObject({ verdict: 'OK', rows: 1_967, tables: 26, problems: [] });
  } finally {
    await server.stop();
  }
});

test('an earlier backup of ycql comes back', async () => {
  const cassandra = await startCassandra({ durable: false });
  const client = plainClient(cassandra);
  try {
    const file = await planOf(
      'ycql',
      `{ ycql: { contactPoints: [127.0.0.1], port: ${cassandra.port}, localDataCenter: datacenter1, keyspaces: { include: [zoo] }, consistency: scan } }`,
    );
    const restored = await restore(file, {}, '--into', 'zoo=zoo_again', '--check', 'content');
    expect(restored).toMatchObject({ verdict: 'OK', problems: [] });
    const answer = async (cql: string) => (await client.execute(cql)).rows[0]?.get(0);
    expect(Number(await answer('SELECT count(*) FROM zoo_again.visits'))).toBe(60);
    expect(
      await answer(
        "SELECT home.street FROM zoo_again.visits WHERE house = 'house 3' AND at = '2023-11-14T22:13:23Z'",
      ),
    ).toBe("Street '3");
    expect(await answer("SELECT note FROM zoo_again.visits WHERE house = 'house 4' LIMIT 1")).toBe('note 4');
    expect(Number(await answer("SELECT hits FROM zoo_again.hits WHERE page = 'page 4'"))).toBe(5);
  } finally {
    await client.shutdown();
    await cassandra.stop();
  }
});
