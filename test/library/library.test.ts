import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  explain,
  explainRestore,
  HoldfastError,
  list,
  openPlan,
  openPlanNamed,
  show,
  UsageError,
  validate,
  validateText,
  window,
} from '../../library/index.ts';
import { planWithRepository } from '../support/plan-files.ts';

/** The library on a directory repository that an earlier Holdfast filled, without Temporal. */
const FIXTURES = path.resolve(__dirname, '..', 'fixtures', 'backups');
const BACKUP = '20261130T005958Z-0e244d';

let folder: string;
let plans: string;
const told: string[] = [];
const access = { environment: {}, tell: (sentence: string) => told.push(sentence) };

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-library-'));
  plans = path.join(folder, 'plans');
  await mkdir(plans);
  await cp(path.join(FIXTURES, 'ysql'), path.join(folder, 'ysql'), { recursive: true });
  await writeFile(path.join(plans, 'ysql.yaml'), planWithRepository(folder, 'ysql'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const open = () => openPlan(path.join(plans, 'ysql.yaml'));

test('plans are checked, opened and explained', async () => {
  await expect(validate([plans])).resolves.toMatchObject({
    document: { valid: true, plans: [{ plan: 'ysql' }], repositories: ['ysql-backups'], diagnostics: [] },
  });
  const plan = await openPlanNamed('ysql', plans);
  await expect(explain(plan)).resolves.toMatchObject({ plan: 'ysql', source: { engine: 'ysql' } });
  expect((await explain(plan, { taskQueue: 'mine' })).steps[0]?.queue).toMatch(/^mine/);
});

test('a text that is not written yet may name the repositories beside it', async () => {
  const [, plan = ''] = planWithRepository(folder, 'ysql').split('---\n');
  const { document, render } = await validateText(plan.replace('name: ysql', 'name: other'), plans);
  expect(document).toMatchObject({ valid: true, files: ['plan.yaml'], plans: [{ plan: 'other' }] });
  expect(render()).toBe('');
  const wrong = await validateText(plan.replace('ysql-backups', 'ysql-backup'), plans);
  expect(wrong.document).toMatchObject({ valid: false, diagnostics: [{ code: 'UNKNOWN_REPOSITORY' }] });
  expect(wrong.render()).toContain('ysql-backup');
});

test('a repository is listed and shown, and an explained restore names its backup', async () => {
  const plan = await open();
  const { backups } = await list(plan, access);
  expect(backups).toMatchObject([{ backup: BACKUP, rows: 1967 }]);
  expect(await show(plan, BACKUP, access)).toMatchObject({ plan: 'ysql', backup: BACKUP });
  expect(await window(plan, access)).toMatchObject({
    plan: 'ysql',
    databases: [],
    reachable: { instants: [{ backup: BACKUP, at: backups[0]?.instant }] },
  });
  const explained = await explainRestore(plan, {}, access);
  expect(explained).toMatchObject({ plan: 'ysql', decision: { kind: 'restore', backup: BACKUP } });
  // The variable is in no environment that was passed, so the target can't be looked at.
  expect(explained.target).toMatchObject({ problem: expect.stringContaining('URL') });
});

test('secrets come from the environment that is passed, and from no other', async () => {
  const file = path.join(folder, 'sealed.yaml');
  const s3 =
    's3: { bucket: acme-backups, region: eu-west-1, credentials: { accessKeyId: { env: HOLDFAST_TEST_ID }, secretAccessKey: { env: HOLDFAST_TEST_SECRET } } }';
  await writeFile(
    file,
    planWithRepository(folder, 'sealed').replace(/spec: \{ directory.*\}/, `spec: { ${s3} }`),
  );
  process.env.HOLDFAST_TEST_ID = 'x';
  try {
    const plan = await openPlan(file);
    await expect(list(plan, access)).rejects.toMatchObject({
      code: 'SECRET_MISSING',
      message: expect.stringContaining('HOLDFAST_TEST_ID'),
    });
  } finally {
    delete process.env.HOLDFAST_TEST_ID;
  }
});

test('whatever fails is a HoldfastError with a remedy', async () => {
  await expect(openPlanNamed('nobody', plans)).rejects.toBeInstanceOf(UsageError);
  await expect(openPlanNamed('../../etc/passwd', plans)).rejects.toBeInstanceOf(UsageError);
  const plan = await open();
  await expect(show(plan, 'nope', access)).rejects.toMatchObject({
    code: 'USAGE',
    remedy: expect.stringMatching(/./),
  });
  // Not a plan at all: a mistake of the caller's that no edge knows.
  const failure = await list({} as never, access).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(HoldfastError);
  expect(failure).toMatchObject({ code: 'UNEXPECTED', remedy: expect.stringMatching(/./) });
});

test('it writes nothing by itself', async () => {
  const written: string[] = [];
  told.length = 0;
  const spies = [process.stdout, process.stderr].map((stream) =>
    jest.spyOn(stream, 'write').mockImplementation((chunk) => {
      written.push(String(chunk));
      return true;
    }),
  );
  try {
    await writeFile(path.join(folder, 'ysql', 'repository.json'), 'damaged');
    await list(await open(), access);
  } finally {
    for (const spy of spies) spy.mockRestore();
    await cp(path.join(FIXTURES, 'ysql', 'repository.json'), path.join(folder, 'ysql', 'repository.json'));
  }
  expect({ written, told }).toEqual({ written: [], told: [expect.stringContaining('repository.json')] });
});
