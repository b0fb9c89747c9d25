import { execFile } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { withLock } from '../bootstrap/lock.mjs';
import { messageOf, permanent } from '../model/errors.ts';
import { FOR_DOWNLOADS, FOR_NODE, programEnvironment } from '../model/program-environment.ts';
import { findOnPath } from './path.ts';
import { freePort } from './ports.ts';
import { startServer } from './process.ts';
import { type Report, toStandardError } from './report.ts';
import { createScratchFolder } from './scratch.ts';
import { cacheFolder, fillWhole } from './tools.ts';

/** What npm installs: `package.json` and `package-lock.json`, with the hash of each package. */
const LOCKED = fileURLToPath(new URL('azurite', import.meta.url));
const VERSION = '2021-12-02';

/** A running service that speaks the REST API of Azure Blob Storage, with its blobs in memory: a restart empties it. */
export type AzureEmulator = {
  /** URL of the account's blob service. It is `http:`. */
  readonly endpoint: string;
  readonly host: string;
  readonly port: number;
  readonly account: string;
  readonly accountKey: string;
  createContainer(name: string): Promise<void>;
  /** A shared access signature of the account for an hour. @param permissions letters, e.g. `rwl`: https://learn.microsoft.com/rest/api/storageservices/create-account-sas */
  sasToken(permissions: string): string;
  stop(): Promise<void>;
};

/**
 * Starts Azurite on 127.0.0.1, with an account whose key is random.
 *
 * @throws HoldfastError `TOOL_NEEDS_NPM`, `TOOL_BUILD` or `SERVER_START`
 */
export async function startAzureEmulator(): Promise<AzureEmulator> {
  const program = await azurite();
  const scratch = await createScratchFolder('azure');
  try {
    const host = '127.0.0.1';
    const port = await freePort();
    const account = 'holdfast';
    const accountKey = randomBytes(64).toString('base64');
    const endpoint = `http://${host}:${port}/${account}`;
    const sasToken = (permissions: string) => signedAccess(account, accountKey, permissions);
    const server = await startServer({
      name: 'Azurite',
      command: process.execPath,
      args: [
        ...[program, '--blobHost', host, '--blobPort', String(port)],
        ...['--inMemoryPersistence', '--silent', '--disableTelemetry'],
      ],
      environment: { AZURITE_ACCOUNTS: `${account}:${accountKey}` },
      logFile: path.join(scratch.path, 'azurite.log'),
      checkReady: async () => {
        await expectOk(await fetch(`${endpoint}/?comp=list&${sasToken('rl')}`));
      },
    });
    return {
      ...{ endpoint, host, port, account, accountKey, sasToken },
      async createContainer(name) {
        const url = `${endpoint}/${name}?restype=container&${sasToken('c')}`;
        await expectOk(await fetch(url, { method: 'PUT' }));
      },
      async stop() {
        await server.stop();
        await scratch.remove();
      },
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

/**
 * The path of Azurite's program. If it isn't in the cache folder, npm installs it there, once, with what `parts/azurite` names.
 *
 * @throws HoldfastError `TOOL_NEEDS_NPM`, `TOOL_BUILD`
 */
export async function azurite(report: Report = toStandardError): Promise<string> {
  const { dependencies } = JSON.parse(await readFile(path.join(LOCKED, 'package.json'), 'utf8'));
  const name = `azurite-${dependencies.azurite}`;
  const folder = cacheFolder(name);
  const program = path.join(folder, 'node_modules/azurite/dist/src/blob/main.js');
  await withLock(
    `${folder}.lock`,
    { onWait: (pid) => report(`${name}: process ${pid} is installing it; waiting for it`) },
    async () => {
      if (!existsSync(program)) await install(name, folder, report);
    },
  );
  return program;
}

async function install(name: string, folder: string, report: Report): Promise<void> {
  const npm = await findOnPath('npm');
  if (npm === undefined) {
    throw permanent(
      'TOOL_NEEDS_NPM',
      `${name} isn't on this machine yet, and installing it needs npm, which is not on PATH`,
      'Install the one that comes with Node (https://nodejs.org), or Debian’s package npm.',
    );
  }
  report(`${name}: installing it, once, with ${npm} (about a minute)`);
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const env = programEnvironment(process.env, [...FOR_DOWNLOADS, ...FOR_NODE, 'npm_config_*']);
  await fillWhole(folder, async (beside) => {
    await cp(LOCKED, beside, { recursive: true });
    try {
      await promisify(execFile)(npm, ['ci', ...options], { cwd: beside, env });
    } catch (error) {
      throw permanent(
        'TOOL_BUILD',
        `${name} could not be installed: ${messageOf(error)}`,
        'Check the network and npm’s settings (`npm config get registry`), and try again.',
        error,
      );
    }
  });
  report(`${name}: installed, kept in ${folder}`);
}

function signedAccess(account: string, key: string, permissions: string): string {
  const expiry = new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+Z$/, 'Z');
  const [services, types, protocol] = ['b', 'sco', 'https,http'];
  const fields = [account, permissions, services, types, '', expiry, '', protocol, VERSION, ''];
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(`${fields.join('\n')}\n`);
  return new URLSearchParams({
    ...{ sv: VERSION, ss: services, srt: types, sp: permissions, se: expiry, spr: protocol },
    sig: signature.digest('base64'),
  }).toString();
}

async function expectOk(answer: Response): Promise<void> {
  const text = await answer.text();
  if (answer.ok) return;
  throw permanent(
    'AZURE_EMULATOR',
    `Azurite answered ${answer.status}: ${text.slice(0, 300)}`,
    'See its log, and that its version is the one of parts/azurite/package.json.',
  );
}
