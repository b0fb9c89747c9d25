import { permanent } from '../../../model/errors.ts';
import type { Server } from '../server/server.ts';
import { POSTGRESQL } from './postgresql-source.ts';
import type { ArchiveSource } from './source-kind.ts';
import { isArchivable, replicationLimits } from './yugabytedb-limits.ts';
import { YUGABYTEDB } from './yugabytedb-source.ts';

/** Throws `ARCHIVE_YUGABYTEDB_RELEASE` (permanent) for a release whose replication would lose changes. */
export function archiveSource({ product, version }: Server): ArchiveSource {
  if (product === 'postgresql') return POSTGRESQL;
  if (isArchivable(version)) return YUGABYTEDB;
  throw permanent(
    'ARCHIVE_YUGABYTEDB_RELEASE',
    `An archive of changes needs YugabyteDB 2025.2.2 or newer, and the source is ${version}. Of this release: ${replicationLimits(version).join('; ')}`,
    'Upgrade the universe, or remove pointTime.archive from the plan. A plan of the universe (source.universe) reaches any second by pointTime.offCluster or pointTime.inCluster.',
  );
}
