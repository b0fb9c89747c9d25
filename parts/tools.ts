import { spawn } from 'node:child_process';
import { mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { withLock } from '../bootstrap/lock.mjs';
import { barOf, formatCount } from '../model/amounts.ts';
import { messageOf, permanent } from '../model/errors.ts';
import { FOR_DOWNLOADS, programEnvironment } from '../model/program-environment.ts';
import { forgetProcess, guardProcess } from './guard.ts';
import { findOnPath, isProgram } from './path.ts';
import { fetchRelease, type Release } from './release.ts';
import { progressLines, type Report, toStandardError } from './report.ts';

/** A program written in Go, had once into the user's cache folder: its makers' release, or built by the user's Go. */
export type Tool = {
  readonly name: string;
  readonly version: string;
  /** The package for `go install`. */
  readonly goPackage: string;
  /** The file that `go install` writes. */
  readonly binary: string;
  /** The program's name on PATH, if it is installed. */
  readonly pathName: string;
  /** How long the build takes; printed before it starts. */
  readonly buildTime: string;
  /** How many packages a build from nothing compiles, about. */
  readonly packages: number;
  /** The makers' own builds, by Node's `platform-arch`. Where there is one, it is tried before a build. */
  readonly releases?: Readonly<Record<string, Release>>;
};

const TEMPORAL_RELEASE = 'https://github.com/temporalio/cli/releases/download/v1.5.1/temporal_cli_1.5.1';

/** v1.5.1 is the newest tag that `go install` accepts: later ones have a `replace` in their go.mod. */
export const TEMPORAL: Tool = {
  name: 'temporal',
  version: 'v1.5.1',
  goPackage: 'github.com/temporalio/cli/cmd/temporal',
  binary: 'temporal',
  pathName: 'temporal',
  buildTime: 'about 5 minutes on 2 cores',
  packages: 1_300,
  releases: {
    'linux-x64': {
      url: `${TEMPORAL_RELEASE}_linux_amd64.tar.gz`,
      sha256: 'ddc95e08b0b076efd4ea9733a3f488eb7d2be875f8834e616cd2a37358b4852d',
    },
    'linux-arm64': {
      url: `${TEMPORAL_RELEASE}_linux_arm64.tar.gz`,
      sha256: 'bd1b0db9f18b051026de8bf6cc1505f2510f14bbb7a8b9a4a91fff46c77454f5',
    },
    'darwin-x64': {
      url: `${TEMPORAL_RELEASE}_darwin_amd64.tar.gz`,
      sha256: 'bbb73e2a31135abe50a1f1cdb35030c42961df618e8ce9c60ae89f201540c5d9',
    },
    'darwin-arm64': {
      url: `${TEMPORAL_RELEASE}_darwin_arm64.tar.gz`,
      sha256: 'cca01b7ea35ad56e2a328d9ae596bf716bd22313ef63c7a761c88354457c2415',
    },
  },
};

export const VERSITYGW: Tool = {
  name: 'versitygw',
  version: 'v1.8.0',
  goPackage: 'github.com/versity/versitygw/cmd/versitygw',
  binary: 'versitygw',
  pathName: 'versitygw',
  buildTime: 'about 2 minutes on 2 cores',
  packages: 590,
};

export const TOXIPROXY: Tool = {
  name: 'toxiproxy',
  version: 'v2.5.0',
  goPackage: 'github.com/Shopify/toxiproxy/v2/cmd/server',
  binary: 'server',
  pathName: 'toxiproxy-server',
  buildTime: 'about a minute on 2 cores',
  packages: 260,
};

/** A bucket service that speaks the JSON API of Google Cloud Storage. */
export const FAKE_GCS: Tool = {
  name: 'fake-gcs-server',
  version: 'v1.56.1',
  goPackage: 'github.com/fsouza/fake-gcs-server',
  binary: 'fake-gcs-server',
  pathName: 'fake-gcs-server',
  buildTime: 'about 2 minutes on 2 cores',
  packages: 451,
};

/** Checks the workflows of GitHub's continuous integration. */
export const ACTIONLINT: Tool = {
  name: 'actionlint',
  version: 'v1.7.7',
  goPackage: 'github.com/rhysd/actionlint/cmd/actionlint',
  binary: 'actionlint',
  pathName: 'actionlint',
  buildTime: 'about 15 seconds on 2 cores',
  packages: 200,
};

/** Encrypts files to recipients. A restore without Holdfast opens key files with it. */
export const AGE: Tool = {
  name: 'age',
  version: 'v1.3.2',
  goPackage: 'filippo.io/age/cmd/age',
  binary: 'age',
  pathName: 'age',
  buildTime: 'about 15 seconds on 2 cores',
  packages: 200,
};

export const ALL_TOOLS: readonly Tool[] = [TEMPORAL, VERSITYGW, FAKE_GCS, TOXIPROXY, ACTIONLINT, AGE];

/**
 * Returns the path of a tool's executable: from PATH, otherwise from the cache folder. If it is in neither, this downloads
 * its release or, where that can't be had, builds it, once, which takes minutes and needs Go and the network.
 *
 * @throws HoldfastError `TOOL_NEEDS_GO` where Go is missing, `TOOL_BUILD` when the build fails
 */
export async function executableOf(tool: Tool, report: Report = toStandardError): Promise<string> {
  const installed = await findOnPath(tool.pathName);
  if (installed !== undefined) return installed;
  const executable = path.join(cacheFolderOf(tool), tool.binary);
  if (await isProgram(executable)) return executable;
  return await withLock(
    `${cacheFolderOf(tool)}.lock`,
    { onWait: (pid) => report(`${label(tool)}: process ${pid} is building it; waiting for it`) },
    async () => {
      if (!(await isProgram(executable))) await provide(tool, report);
      return executable;
    },
  );
}

function cacheFolderOf(tool: Tool): string {
  return cacheFolder(`${tool.name}-${tool.version}`);
}

/** The folder where the part with this name is kept between runs, for this user. */
export function cacheFolder(name: string): string {
  const cache = process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache');
  return path.join(cache, 'holdfast', 'tools', name);
}

/** Fills a folder beside the final one and renames it, so that what was interrupted never counts as complete. @param fill gets the folder beside */
export async function fillWhole(folder: string, fill: (beside: string) => Promise<void>): Promise<void> {
  const beside = `${folder}.unfinished`;
  await rm(beside, { recursive: true, force: true });
  await mkdir(beside, { recursive: true, mode: 0o755 });
  await fill(beside);
  await rm(folder, { recursive: true, force: true });
  await rename(beside, folder);
}

async function provide(tool: Tool, report: Report): Promise<void> {
  const folder = cacheFolderOf(tool);
  const startedAt = Date.now();
  let how = 'downloaded';
  await fillWhole(folder, async (beside) => {
    if (await downloadInto(beside, tool, report)) return;
    how = 'built';
    await buildInto(beside, tool, report);
  });
  report(`${label(tool)}: ${how} in ${Math.round((Date.now() - startedAt) / 1000)} s, kept in ${folder}`);
}

/** False: its makers publish none for this platform, or it can't be had from here. */
async function downloadInto(folder: string, tool: Tool, report: Report): Promise<boolean> {
  const release = tool.releases?.[`${process.platform}-${process.arch}`];
  if (release === undefined) return false;
  report(`${label(tool)}: downloading it, once, from ${release.url}`);
  const { binary } = tool;
  const problem = await fetchRelease(release, { name: label(tool), binary, into: folder, report });
  if (problem !== undefined) report(`${label(tool)}: not downloaded: ${problem}`);
  return problem === undefined;
}

async function buildInto(folder: string, tool: Tool, report: Report): Promise<void> {
  const go = await findOnPath('go');
  if (go === undefined) {
    throw permanent(
      'TOOL_NEEDS_GO',
      `${label(tool)} isn't on this machine yet, and building it needs Go, which is not on PATH`,
      `Install Go 1.25 or newer (https://go.dev/dl), or put \`${tool.pathName}\` itself on PATH.`,
    );
  }
  report(`${label(tool)}: building it, once, with ${go} (${tool.buildTime})`);
  await goInstall(tool, go, folder, report);
}

const KEPT_OUTPUT_LINES = 20;

/** Environment variables that a Go build reads: its own settings, the C compiler, and how to reach modules. */
const FOR_GO: readonly string[] = ['GO*', 'CGO_*', 'CC', 'CXX', 'GIT_*', 'NETRC', ...FOR_DOWNLOADS];

async function goInstall(tool: Tool, go: string, into: string, report: Report): Promise<void> {
  const child = spawn(go, ['install', '-v', `${tool.goPackage}@${tool.version}`], {
    detached: true,
    env: { ...programEnvironment(process.env, FOR_GO), GOBIN: into, GOFLAGS: '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const { pid } = child;
  if (pid !== undefined) guardProcess(pid, 'SIGTERM');
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(messageOf(error)));
    child.once('close', (code) => resolve(code === 0 ? undefined : `go install ended with code ${code}`));
  });
  // `go install -v` prints one line for each module that it downloads and each package that it compiles.
  let downloaded = 0;
  let compiled = 0;
  const lastLines: string[] = [];
  const progress = progressLines(label(tool), report);
  progress.show(
    () =>
      `${barOf(compiled / tool.packages)} ${downloaded} modules downloaded, ${compiled} of about ${formatCount(tool.packages)} packages compiled`,
  );
  try {
    for await (const line of createInterface({ input: child.stderr })) {
      if (line.startsWith('go: downloading')) downloaded++;
      else compiled++;
      lastLines.push(line);
      if (lastLines.length > KEPT_OUTPUT_LINES) lastLines.shift();
    }
    const failure = await ended;
    if (failure !== undefined) {
      throw permanent(
        'TOOL_BUILD',
        `${label(tool)} could not be built: ${failure}\n${lastLines.join('\n')}`,
        `Check the network and that Go is 1.25 or newer, or put \`${tool.pathName}\` itself on PATH.`,
      );
    }
  } finally {
    progress.end();
    if (pid !== undefined) forgetProcess(pid);
  }
}

function label(tool: Tool): string {
  return `${tool.name} ${tool.version}`;
}
