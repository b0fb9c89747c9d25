import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { container, message } from './containers.ts';
import type { TserverState } from './state.ts';

/**
 * Formats the data directories of a new tablet server and removes their old content. Each gets the file `instance` with the server's UUID
 * (`InstanceMetadataPB`, `src/yb/fs/fs.proto`), which YugabyteDB compares across all of them at its start (`FsManager::Open`).
 */
export function formatDirectories({
  uuid,
  host,
  dataDirectories,
}: Pick<TserverState, 'uuid' | 'host' | 'dataDirectories'>) {
  for (const directory of dataDirectories) {
    const tserver = join(directory, 'yb-data/tserver');
    rmSync(tserver, { recursive: true, force: true });
    mkdirSync(join(tserver, 'data/rocksdb'), { recursive: true });
    const metadata = message([1, uuid], [2, `Formatted at 2026-11-24 02:00:00 on ${host}`]);
    writeFileSync(join(tserver, 'instance'), container('yb.InstanceMetadataPB', metadata));
  }
}
