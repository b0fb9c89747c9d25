import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkSecretFiles } from '../../engines/secret-files.ts';
import type { RepositorySpec } from '../../model/pipeline.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-secrets-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function secret(name: string, mode: number): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, 'secret');
  await chmod(file, mode);
  return file;
}

const location = { kind: 'directory', path: '/nowhere' } as const;

test('a secret that every user can read is named with what to run; one of the owner and group is not', async () => {
  const [own, open] = [await secret('own', 0o640), await secret('open', 0o644)];
  const repository = (key: string): RepositorySpec => ({
    name: 'main',
    location,
    signing: { trusted: ['ssh-ed25519 AAAA'], key: { file: key } },
  });
  expect(await checkSecretFiles(repository(open))).toEqual([
    {
      ...{ name: 'secret files', ok: true },
      detail: `every user of this machine can read ${open}`,
      remedy: `Run chmod o-rwx ${open} and give them to the worker’s user.`,
    },
  ]);
  expect(await checkSecretFiles(repository(own))).toMatchObject([
    { ok: true, detail: expect.stringMatching(/^1 read by/) },
  ]);
  expect(await checkSecretFiles(repository(path.join(folder, 'missing')))).toMatchObject([{ ok: true }]);
});

test('a secret in the environment is none of a file', async () => {
  expect(
    await checkSecretFiles({ name: 'main', location, signing: { trusted: [], key: { env: 'KEY' } } }),
  ).toEqual([]);
});
