import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What a command loads that starts a run or finds one, and follows it. */
const FOLLOWING = [
  'library/index.ts',
  'library/begin-backup.ts',
  'library/run-handle.ts',
  'library/plan-files.ts',
  'cli/follow-run.ts',
  'library/runs.ts',
  'cli/session.ts',
  'cli/follow.ts',
  'library/plan-entities.ts',
];

/** Addresses of all modules that are loaded with these files, as a process of its own loads them. */
async function loadedWith(files: readonly string[]): Promise<readonly string[]> {
  const program = `
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context); } });
    for (const file of ${JSON.stringify(files)}) await import(new URL(file, 'file://${process.cwd()}/').href);
    process.stdout.write(JSON.stringify(loaded));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    maxBuffer: 10_000_000,
  });
  const loaded: unknown = JSON.parse(stdout);
  return Array.isArray(loaded) ? loaded.map(String) : [];
}

test("a command that follows a run loads neither Temporal's worker nor an engine", async () => {
  const loaded = await loadedWith(FOLLOWING);
  expect(loaded.some((url) => url.includes('/@temporalio/client/'))).toBe(true);
  const unused = loaded.filter((url) =>
    /\/@temporalio\/(?:worker|core-bridge)\/|\/node_modules\/(?:rxjs|pg|cassandra-driver|@aws-sdk)\/|\/engines\/(?:ysql|ycql|universe)\//.test(
      url,
    ),
  );
  expect(unused).toEqual([]);
});

test('a worker loads the drivers of YCQL and of mail when work needs them, not at its start', async () => {
  const loaded = await loadedWith(['worker/main.ts']);
  expect(loaded.some((url) => url.includes('/@temporalio/worker/'))).toBe(true);
  const early = loaded.filter((url) =>
    /\/node_modules\/(?:cassandra-driver|nodemailer)\/|\/engines\/ycql\//.test(url),
  );
  expect(early).toEqual([]);
});
