import { existsSync } from 'node:fs';
import path from 'node:path';
import { startWorker } from '../universe/engine/stage.ts';
import { startUniverse } from '../universe/launcher.ts';
import type { ProfileName } from '../universe/model.ts';
import { type Cluster, PROGRAM_FOLDERS } from './cluster.ts';
import type { Version } from './versions.ts';

const PROFILES: readonly ProfileName[] = ['2.18', '2024.2', '2025.2'];

/** The simulated universe and the proxy in place of the containers, so that every line of the matrix has run before a real YugabyteDB is there. */
export async function startStandInCluster({ line }: Version): Promise<Cluster> {
  // A line that the simulator doesn't have runs as the newest that it has.
  const profile = PROFILES.find((name) => name === line) ?? '2025.2';
  const universe = await startUniverse({ profile });
  return {
    kind: 'stand-in',
    what: `simulated universe, profile ${profile}`,
    masters: universe.masters,
    masterWebAddresses: universe.masterWebAddresses,
    ysql: (database) => universe.ysql(database),
    otherNodes: [],
    ycql: undefined,
    environment: universe.environment,
    program: (name) => {
      const installed = path.join(universe.binDirectory, '..', PROGRAM_FOLDERS[name], name);
      return existsSync(installed) ? installed : path.join(universe.binDirectory, name);
    },
    killTserver: async (index) => void (await universe.act({ do: 'stopTserver', server: index })),
    startTserver: async (index) => void (await universe.act({ do: 'startTserver', server: index })),
    startAgent: (index, environment) => {
      const address = universe.tservers[index]?.address;
      if (address === undefined) throw new Error(`the universe has no tablet server ${index + 1}`);
      return startWorker(`agent ${address}`, ['--tserver', address], environment, universe.directory);
    },
    // Its clock can be told.
    expiry: {
      hours: 24,
      pass: async () => void (await universe.act({ do: 'advanceClock', ms: 25 * 3_600_000 })),
    },
    stop: () => universe.stop(),
  };
}
