import { stat } from 'node:fs/promises';
import type { Check } from '../model/check.ts';
import type { RepositorySpec } from '../model/pipeline.ts';

/** Permission of users that are neither the file's owner nor in its group. Groups are how Kubernetes gives a secret to a container, so they pass. */
const OTHERS_READ = 0o004;

/** Which files that hold the repository's secrets every user of this machine can read. No check at all where no secret is in a file. */
export async function checkSecretFiles(repository: RepositorySpec): Promise<readonly Check[]> {
  const files = [...new Set(secretFiles(repository))];
  if (files.length === 0) return [];
  const exposed: string[] = [];
  for (const file of files) {
    if (await othersRead(file)) exposed.push(file);
  }
  const name = 'secret files';
  if (exposed.length === 0)
    return [{ name, ok: true, detail: `${files.length} read by their owner and group alone` }];
  return [
    {
      name,
      ok: true,
      detail: `every user of this machine can read ${exposed.join(' and ')}`,
      remedy: `Run chmod o-rwx ${exposed.join(' ')} and give them to the worker’s user.`,
    },
  ];
}

/** A secret is `{ file }`, wherever in the specification it stands. */
function secretFiles(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  const entries = Object.entries(value);
  const [first] = entries;
  if (entries.length === 1 && first?.[0] === 'file' && typeof first[1] === 'string') return [first[1]];
  return entries.flatMap(([, inner]) => secretFiles(inner));
}

/** A file that isn't there is told by whoever needs it. */
async function othersRead(file: string): Promise<boolean> {
  try {
    return ((await stat(file)).mode & OTHERS_READ) !== 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES'))
      return false;
    throw error;
  }
}
