import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { holdfast } from '../support/holdfast.ts';
import { planWithRepository } from '../support/plan-files.ts';

/** `list` of backups that an earlier Holdfast made. */
const FIXTURES = path.resolve(__dirname, '..', 'fixtures', 'backups');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-list-'));
  await mkdir(path.join(folder, 'plans'));
  for (const name of ['ysql', 'lost']) {
    if (name === 'ysql') await cp(path.join(FIXTURES, name), path.join(folder, name), { recursive: true });
    await writeFile(path.join(folder, 'plans', `${name}.yaml`), planWithRepository(folder, name));
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const list = (...args: readonly string[]) => holdfast(['list', ...args], { TZ: 'Europe/Berlin' }, folder);

test('a list has headers and fits into 80 columns; -o wide has more, with the local time', async () => {
  const short = await list('ysql');
  expect(short).toMatchObject({ code: 0 });
  const [header = '', ...rows] = short.stdout.trimEnd().split('\n');
  expect(header).toMatch(/^BACKUP +DATA OF +ROWS +STORED +VERIFIED$/);
  expect(rows).toHaveLength(1);
  for (const line of [header, ...rows]) expect(line.length).toBeLessThanOrEqual(80);
  const wide = (await list('ysql', '-o', 'wide')).stdout;
  expect(wide).toMatch(/LOCAL TIME/);
  expect(wide).toMatch(/\d{2}:\d{2}:\d{2}\+0[12]:00/);
});

test('without a plan it lists all of plans/; one that cannot be read does not hide the others', async () => {
  const all = await list();
  expect(all).toMatchObject({ code: 1, stdout: expect.stringMatching(/^ysql:\nBACKUP /) });
  expect(all.stderr).toMatch(/^error: plan lost: .*\n {2}→ /m);
  const { plans } = JSON.parse((await list('--json')).stdout) as { plans: unknown[] };
  expect(plans).toEqual([
    { plan: 'lost', error: expect.objectContaining({ code: 'STORE_NO_DIRECTORY' }) },
    expect.objectContaining({ plan: 'ysql', backups: [expect.objectContaining({ rows: 1967 })] }),
  ]);
});

test('a damaged record of a verification hides no backup', async () => {
  const [, ...rows] = (await list('ysql')).stdout.trimEnd().split('\n');
  const [backup = ''] = rows[0]?.split(' ') ?? [];
  const verified = path.join(folder, 'ysql', 'verified', 'ysql', backup);
  await mkdir(verified, { recursive: true });
  await writeFile(path.join(verified, '20991231T000000000Z.json'), '{"verdict": "OK"}');
  const again = await list('ysql');
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining(backup) });
  expect(again.stderr).toContain(`the verifications of ${backup} can’t be read`);
});
