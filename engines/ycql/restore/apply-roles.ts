import { permanent } from '../../../model/errors.ts';
import type { CqlSession } from '../session.ts';
import type { RestoreJob } from './job.ts';

/** Creates the backup's roles that are missing, and repeats its grants. Throws `BACKUP_WITHOUT_ROLES` (permanent). */
export async function applyRoles(job: RestoreJob, session: CqlSession): Promise<void> {
  const { context } = job;
  const object = context.manifest.commonObjects.find(({ key }) => /\/roles-[0-9a-f]{12}\.cql$/.test(key));
  if (object === undefined) {
    throw permanent(
      'BACKUP_WITHOUT_ROLES',
      'The backup holds no roles',
      'Leave out --globals; the plan’s `globals: roles` would have kept them.',
    );
  }
  const { sizeBytes, sha256 } = object;
  const body = await context.store.get(context.folder + object.key, {
    expect: { sizeBytes, sha256 },
    signal: context.signal,
  });
  // The backup writes one statement a line.
  for (const line of Buffer.from(body).toString('utf8').split('\n')) {
    if (line === '' || line.startsWith('--')) continue;
    // The line may hold a password's hash, which a server that doesn't know the statement may repeat.
    await session.execute('create the roles of the backup', line.replace(/;$/, ''), [], context.signal, {
      carried: 'values',
    });
  }
}
