import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, userInfo } from 'node:os';
import path from 'node:path';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { personHere } from '../../worker/person.ts';
import { type CommandEnd, holdfast } from '../support/holdfast.ts';
import { repositoryDocument } from '../support/plan-files.ts';

const FIXTURE = path.resolve(__dirname, '..', 'fixtures/backups/ysql');

let scratch: ScratchFolder;
let plan: string;
let backup: string;

beforeAll(async () => {
  scratch = await createScratchFolder('audit-command');
  await cp(FIXTURE, path.join(scratch.path, 'repository'), { recursive: true });
  [backup = ''] = await readdir(path.join(FIXTURE, 'backups/ysql'));
  plan = path.join(scratch.path, 'plan.yaml');
  await writeFile(
    plan,
    `${repositoryDocument(scratch.path)}---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ysql }
spec:
  source: { ysql: { connection: { env: URL } } }
  repository: main
`,
  );
});
afterAll(() => scratch.remove());

const run = (...args: readonly string[]): Promise<CommandEnd> =>
  holdfast(args, { GITHUB_ACTIONS: undefined, GITLAB_CI: undefined });

test('what a command did is in the log with who and why, and the log shows that an entry was taken out', async () => {
  expect(await run('audit', plan)).toMatchObject({ code: 3, stdout: '' });
  expect(await run('hold', plan, backup, '--reason', 'case 4711')).toMatchObject({ code: 0 });
  expect(await run('release', plan, backup, '--reason', 'closed')).toMatchObject({ code: 0 });
  const told = await run('audit', plan, '--json');
  const by = `${userInfo().username}@${hostname()}`;
  expect({ code: told.code, document: JSON.parse(told.stdout) }).toEqual({
    code: 0,
    document: {
      plan: 'ysql',
      verdict: 'OK',
      problems: [],
      head: { number: 2, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      entries: [
        expect.objectContaining({ number: 1, action: 'hold', subject: backup, reason: 'case 4711', by }),
        expect.objectContaining({ number: 2, action: 'release', subject: backup, reason: 'closed', by }),
      ],
    },
  });
  await rm(path.join(scratch.path, 'repository/audit/ysql/000000001.json'));
  expect(await run('audit', plan)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('An entry is missing before entry 2.'),
  });
});

test('where the log can’t be written, the command does its work and says so', async () => {
  // In the place of the log's folder stands a file.
  const folder = path.join(scratch.path, 'repository/audit');
  await rm(folder, { recursive: true, force: true });
  await writeFile(folder, 'in the way');
  const held = await run('hold', plan, backup, '--reason', 'case 4712', '--json');
  expect({ code: held.code, stderr: held.stderr }).toEqual({
    code: 0,
    stderr: expect.stringContaining('this is not in the log of plan ysql'),
  });
  expect(JSON.parse(held.stdout)).toMatchObject({ backup, reason: 'case 4712' });
  expect(await readFile(folder, 'utf8')).toBe('in the way');
});

test('a job of continuous integration is known by the person and the run that it names', () => {
  const github = {
    GITHUB_ACTIONS: 'true',
    GITHUB_ACTOR: 'alice',
    GITHUB_REPOSITORY: 'acme/plans',
    GITHUB_RUN_ID: '7',
  };
  expect(personHere(github)).toBe('alice by GitHub Actions (acme/plans, run 7)');
  const gitlab = {
    GITLAB_CI: 'true',
    GITLAB_USER_LOGIN: 'bob',
    CI_PROJECT_PATH: 'acme/plans',
    CI_JOB_ID: '8',
  };
  expect(personHere(gitlab)).toBe('bob by GitLab CI (acme/plans, job 8)');
  expect(personHere({})).toBe(`${userInfo().username}@${hostname()}`);
  // A container under a number that no account has.
  const noAccount = () => {
    throw Object.assign(new Error('uv_os_get_passwd returned ENOENT'), { code: 'ERR_SYSTEM_ERROR' });
  };
  expect(personHere({}, noAccount)).toBe(`uid-${process.getuid?.()}@${hostname()}`);
});
