import { spawn } from 'node:child_process';
import { mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { withLock } from '../bootstrap/lock.mjs';
import { messageOf, permanent } from '../model/errors.ts';
import { FOR_DOWNLOADS, programEnvironment } from '../model/program-environment.ts';
import { forgetProcess, guardProcess } from './guard.ts';
import { findOnPath, isProgram } from './path.ts';

/** A program written in Go, built once with the user's Go into the user's cache folder. */
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
};

/** v1.5.1 is the newest tag that `go install` accepts: later ones have a `replace` in their go.mod. */
export const TEMPORAL: Tool = {
  name: 'temporal',
  version: 'v1.5.1',
  goPackage: 'github.com/temporalio/cli/cmd/temporal',
  binary: 'temporal',
  pathName: 'temporal',
  buildTime: 'about 5 minutes on 2 cores',
};

export const VERSITYGW: Tool = {
  name: 'versitygw',
  version: 'v1.8.0',
  goPackage: 'github.com/versity/versitygw/cmd/versitygw',
  binary: 'versitygw',
  pathName: 'versitygw',
  buildTime: 'about 2 minutes on 2 cores',
};

export const TOXIPROXY: Tool = {
  name: 'toxiproxy',
  version: 'v2.5.0',
  goPackage: 'github.com/Shopify/toxiproxy/v2/cmd/server',
  binary: 'server',
  pathName: 'toxiproxy-server',
  buildTime: 'about a minute on 2 cores',
};

/** Checks the workflows of GitHub's continuous integration. */
export const ACTIONLINT: Tool = {
  name: 'actionlint',
  version: 'v1.7.7',
  goPackage: 'github.com/rhysd/actionlint/cmd/actionlint',
  binary: 'actionlint',
  pathName: 'actionlint',
  buildTime: 'about 15 seconds on 2 cores',
};

/** Encrypts files to recipients. A restore without Holdfast opens key files with it. */
export const AGE: Tool = {
  name: 'age',
  version: 'v1.3.2',
  goPackage: 'filippo.io/age/cmd/age',
  binary: 'age',
  pathName: 'age',
  buildTime: 'about 15 seconds on 2 cores',
};

export const ALL_TOOLS: readonly Tool[] = [TEMPORAL, VERSITYGW, TOXIPROXY, ACTIONLINT, AGE];

/** Receives lines about a build, without line ends. */
export type Report = (line: string) => void;

export const toStandardError: Report = (line) => {
  process.stderr.write(`${line}\n`);
};

/**
 * Returns the path of a tool's executable: from PATH, otherwise from the cache folder. If it is in neither, this builds it, once,
 * which takes minutes and needs Go and the network.
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
      if (!(await isProgram(executable))) await build(tool, report);
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

/** Builds into a folder beside the final one and renames it, so that an interrupted build never counts as complete. */
async function build(tool: Tool, report: Report): Promise<void> {
  const go = await findOnPath('go');
  if (go === undefined) {
    throw permanent(
      'TOOL_NEEDS_GO',
      `${label(tool)} isn't on this machine yet, and building it needs Go, which is not on PATH`,
      `Install Go 1.25 or newer (https://go.dev/dl), or put \`${tool.pathName}\` itself on PATH.`,
    );
  }
  const folder = cacheFolderOf(tool);
  const unfinished = `${folder}.building`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  report(`${label(tool)}: building it, once, with ${go} (${tool.buildTime})`);
  const startedAt = Date.now();
  await goInstall(tool, go, unfinished, report);
  await rm(folder, { recursive: true, force: true });
  await rename(unfinished, folder);
  report(`${label(tool)}: built in ${Math.round((Date.now() - startedAt) / 1000)} s, kept in ${folder}`);
}

const PROGRESS_INTERVAL_MS = 10_000;
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
  const progress = setInterval(() => {
    report(`${label(tool)}: ${downloaded} modules downloaded, ${compiled} packages compiled`);
  }, PROGRESS_INTERVAL_MS);
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
    clearInterval(progress);
    if (pid !== undefined) forgetProcess(pid);
  }
}

function label(tool: Tool): string {
  return `${tool.name} ${tool.version}`;
}
