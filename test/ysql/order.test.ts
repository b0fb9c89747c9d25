import { compareDatabases } from './compare.ts';
import { createCase, runEagerRestore, wrongIndexes } from './eager.ts';
import {
  createRepository,
  restoreContext,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
} from './harness.ts';

let server: TestServer;
let repository: TestRepository;

beforeAll(async () => {
  server = await startServer();
  repository = await createRepository();
});

afterAll(async () => {
  await server?.stop();
  await repository?.remove();
});

describe('pg_dump’s order is kept where something may need it', () => {
  test.each([
    ['an index whose function reads a table that is loaded later', 'index-reads-other-table'],
    ['an index on a function that pg_dump writes behind the keys', 'postponed-function-index'],
    ['a check whose function reads a table that is loaded later', 'check-reads-other-table'],
  ])('%s', async (_, name) => {
    const database = name.replaceAll('-', '_');
    await createCase(server, name, database);
    const backup = await takeBackup(repository, server.url(database));
    for (const [copy, backwards] of [
      [`${database}_2`, false],
      [`${database}_3`, true],
    ] as const) {
      const wish = { into: { [database]: copy } };
      const outcome = await runEagerRestore(restoreContext(backup, server.url(), wish), backwards);
      expect(outcome.problems).toEqual([]);
      expect(await compareDatabases(server, server.url(database), server.url(copy))).toEqual([]);
      expect(await wrongIndexes(server.url(copy))).toEqual([]);
    }
  });
});
