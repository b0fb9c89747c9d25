import type { RestoreRequest } from '../../../model/backup.ts';
import type { Manifest, ManifestDatabase, ManifestSnapshot } from '../../../model/manifest.ts';
import type { UniverseSource } from '../../../model/pipeline.ts';
import { restoreFolder } from '../../../repository/layout.ts';
import type { BackupContext } from '../../engine.ts';
import { type RestoreNames, restoreNames } from '../../ysql/server/restore-names.ts';

type UniverseRestoreRequest = RestoreRequest & { readonly source: UniverseSource };

/** What every stage of the restore of a universe gets. */
export interface UniverseRestore extends BackupContext {
  readonly request: UniverseRestoreRequest;
  readonly manifest: Manifest;
}

/** One database or keyspace of the backup and what becomes of it. */
export interface RestoredDatabase {
  readonly index: number;
  readonly api: ManifestSnapshot['api'];
  readonly from: string;
  /** The name under which it is restored. At the end it takes its final name (`names.to`). */
  readonly to: string;
  readonly names: RestoreNames;
  readonly database: ManifestDatabase;
  readonly snapshot: ManifestSnapshot;
}

/** The databases and keyspaces of the backup, in the manifest's order. Pure. */
export function restoredDatabases({ manifest, request }: UniverseRestore): readonly RestoredDatabase[] {
  const found = manifest.databases.flatMap((database, index) => {
    const snapshot = manifest.universe?.snapshots[index];
    return snapshot === undefined
      ? []
      : [{ index, api: snapshot.api, from: database.name, database, snapshot }];
  });
  // A keyspace may have the name of a database.
  const names = new Map(
    [...Map.groupBy(found, ({ api }) => api).values()].flatMap((some) => {
      const theirs = restoreNames(
        some.map(({ from }) => from),
        request,
      );
      return theirs.map((one, place) => [some[place]?.index, one] as const);
    }),
  );
  return found.flatMap((one) => {
    const own = names.get(one.index);
    return own === undefined ? [] : [{ ...one, to: request.replace ? own.working : own.to, names: own }];
  });
}

/** The folder in the repository where this restore keeps notes while it runs. */
export function folderOf({ request }: UniverseRestore): string {
  return restoreFolder(request.from.plan, request.restore);
}
