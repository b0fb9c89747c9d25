import { existsSync, realpathSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';

/** The environment variable in which an operator names the folder of YugabyteDB's programs. */
export const PROGRAM_FOLDER_VARIABLE = 'HOLDFAST_YB_BIN';

/** Homes of YugabyteDB's own installers and images. */
const YUGABYTE_HOMES = ['/home/yugabyte', '/home/yugabyte/tserver', '/home/yugabyte/master', '/opt/yugabyte'];
const DEBIAN_INSTALLATIONS = '/usr/lib/postgresql';

/** The first folder of an installation has `yb-admin` and `ysqlsh`, the second `ysql_dump`, `ysql_dumpall` and `ysqlsh` (yugabyte-db issue 22764). */
const FOLDERS_OF_HOME = ['bin', 'postgres/bin'];

/**
 * Lists the folders that may have YugabyteDB's programs, the likeliest first: `HOLDFAST_YB_BIN` (an installation's `bin`, its `postgres/bin`
 * or its home) with the other folders of that installation, then the usual homes, then PATH.
 */
export function yugabyteFolders(environment: NodeJS.ProcessEnv = process.env): readonly string[] {
  return distinct([
    ...configuredFolders(environment),
    ...YUGABYTE_HOMES.flatMap((home) => FOLDERS_OF_HOME.map((folder) => join(home, folder))),
    ...pathFolders(environment),
  ]);
}

/** `HOLDFAST_YB_BIN` and the other folders of the same installation; none when it isn't set. */
export function configuredFolders(environment: NodeJS.ProcessEnv = process.env): readonly string[] {
  const configured = environment[PROGRAM_FOLDER_VARIABLE];
  if (configured === undefined || configured === '') return [];
  // Resolve symbolic links first: the other folders are beside the installation's folder, not beside a link to it.
  const places = distinct([resolve(configured), realFolder(configured)]);
  const homes = places.flatMap((place) => [place, join(place, '..'), join(place, '../..')]);
  return distinct([
    ...places,
    ...homes.flatMap((home) => FOLDERS_OF_HOME.map((folder) => join(home, folder))),
  ]);
}

/** Resolves symbolic links. Returns a path that doesn't exist unchanged; the caller then finds nothing in it. */
function realFolder(folder: string): string {
  const path = resolve(folder);
  return existsSync(path) ? realpathSync(path) : path;
}

/** Lists the folders that may have PostgreSQL's programs: `HOLDFAST_YB_BIN`, Debian's folders, PATH. */
export async function postgresFolders(
  environment: NodeJS.ProcessEnv = process.env,
): Promise<readonly string[]> {
  const configured = environment[PROGRAM_FOLDER_VARIABLE];
  return distinct([
    ...(configured === undefined || configured === '' ? [] : [configured]),
    ...(await debianFolders()),
    ...pathFolders(environment),
  ]);
}

function pathFolders(environment: NodeJS.ProcessEnv): readonly string[] {
  return (environment.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
}

async function debianFolders(): Promise<readonly string[]> {
  try {
    const versions = await readdir(DEBIAN_INSTALLATIONS);
    return versions.map((version) => join(DEBIAN_INSTALLATIONS, version, 'bin'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

function distinct(folders: readonly string[]): readonly string[] {
  return [...new Set(folders)];
}
