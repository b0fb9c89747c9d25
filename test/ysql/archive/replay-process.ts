/** Replays as a worker does, in a process that a test may kill: `node replay-process.ts <file with a KillableReplay>`. */
import { readFile } from 'node:fs/promises';
import { quietVerb } from '../../../engines/quiet-verb.ts';
import { replayDatabase } from '../../../engines/ysql/restore/replay.ts';
import type { LogicalRestoreRequest } from '../../../model/backup.ts';
import type { Manifest } from '../../../model/manifest.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';

export interface KillableReplay {
  readonly repository: string;
  readonly folder: string;
  readonly url: string;
  readonly request: LogicalRestoreRequest;
  readonly manifest: Manifest;
  readonly database: string;
}

const { repository, folder, url, request, manifest, database } = JSON.parse(
  await readFile(process.argv[2] ?? '', 'utf8'),
) as KillableReplay;
await replayDatabase(
  {
    ...quietVerb(() => Promise.resolve(url)),
    ref: request.from,
    store: new DirectoryStore(repository),
    folder,
    request,
    manifest,
    dataObjects: () => Promise.resolve('inline' in manifest.data ? manifest.data.inline : []),
  },
  database,
);
process.exit(0);
