import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { type HoldfastError, messageOf, permanent, transient } from '../../../model/errors.ts';
import { programEnvironment } from '../../../model/program-environment.ts';
import { yugabyteFolders } from '../../ysql/server/programs/folders.ts';
import { classify, ended, YB_ADMIN } from './errors.ts';

/** Where a universe is and how long to wait for it. */
interface YbAdminSettings {
  /** `host:port` of every master's RPC address. */
  readonly masters: readonly string[];
  /** Folder with `ca.crt` and, if the universe asks for them, `node.*` files. */
  readonly certsDir?: string;
  /** Limit of one RPC, in milliseconds; default 60,000, as the program's own. */
  readonly timeoutMs?: number;
  /** Full path of the program. Absent: it is looked for. */
  readonly program?: string;
}

/** The program, bound to one universe. Every group of operations in this folder takes it as its first argument. */
export interface YbAdmin {
  readonly settings: YbAdminSettings;
  /**
   * Runs one operation and returns its stdout. `limitMs` bounds the whole run of the program, in milliseconds; default twice the limit of an RPC.
   *
   * @throws HoldfastError with one of the codes in `YB_ADMIN`; the reason of `signal` if it was aborted
   */
  run(operation: string, args: readonly string[], options?: { readonly limitMs?: number }): Promise<string>;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const KEPT_CHARACTERS = 64 * 1024 * 1024;
const KEPT_ERROR_CHARACTERS = 64 * 1024;

/**
 * Finds the program: `settings.program`, or else in `HOLDFAST_YB_BIN` and the folders of the same installation, in Yugabyte's usual folders, and on
 * PATH.
 *
 * @throws HoldfastError `YB_ADMIN_MISSING` (permanent)
 */
export async function openYbAdmin(settings: YbAdminSettings, signal: AbortSignal): Promise<YbAdmin> {
  const program = settings.program ?? (await findProgram());
  return {
    settings,
    run: (operation, args, options) =>
      runProgram(program, settings, operation, args, signal, options?.limitMs),
  };
}

async function findProgram(): Promise<string> {
  const folders = yugabyteFolders();
  for (const folder of folders) {
    const candidate = join(folder, 'yb-admin');
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Absent, or this user may not run it: try the next folder.
    }
  }
  throw permanent(
    YB_ADMIN.missing,
    `Found no yb-admin on this worker (looked in ${folders.join(', ')})`,
    "Install the universe's own programs on the worker, or set HOLDFAST_YB_BIN to the folder that has yb-admin.",
  );
}

/** Throws `YB_ADMIN_USAGE` (permanent): yb-admin takes every argument that starts with a dash for a flag. */
function checkArgument(operation: string, argument: string): void {
  if (!argument.startsWith('-') && !argument.includes('\0')) return;
  throw permanent(
    YB_ADMIN.usage,
    `yb-admin ${operation} can't take ${JSON.stringify(argument)} as an argument`,
    'Names that start with "-" can\'t be given to yb-admin: rename the object.',
  );
}

async function runProgram(
  program: string,
  settings: YbAdminSettings,
  operation: string,
  args: readonly string[],
  signal: AbortSignal,
  limitMs: number | undefined,
): Promise<string> {
  signal.throwIfAborted();
  for (const argument of args) checkArgument(operation, argument);
  const timeoutMs = settings.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const flags = [`--master_addresses=${settings.masters.join(',')}`, `--timeout_ms=${timeoutMs}`];
  if (settings.certsDir !== undefined) flags.push(`--certs_dir_name=${settings.certsDir}`);
  const limit = AbortSignal.timeout(limitMs ?? timeoutMs * 2);
  const child = spawn(program, [...flags, operation, ...args], {
    // The program prints times in its local zone, without naming it.
    env: { ...programEnvironment(process.env), TZ: 'UTC', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, limit]),
    killSignal: 'SIGKILL',
  });
  let output = '';
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output.length <= KEPT_CHARACTERS) output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < KEPT_ERROR_CHARACTERS) said += text;
  });
  const end = await new Promise<{
    readonly code: number | null;
    readonly by?: NodeJS.Signals | null;
    readonly error?: Error;
  }>((resolve) => {
    child.on('error', (error) => resolve({ code: null, error }));
    child.on('close', (code, by) => resolve({ code, by }));
  });
  signal.throwIfAborted();
  if (limit.aborted) {
    throw transient(
      YB_ADMIN.timedOut,
      `yb-admin ${operation} was still running after ${limitMs ?? timeoutMs * 2} ms and was stopped`,
      'Check the load of the masters, or raise source.universe.timeout.',
    );
  }
  if (output.length > KEPT_CHARACTERS) throw tooLong(operation);
  if (end.code === 0) return output;
  if (end.error !== undefined) {
    throw permanent(
      YB_ADMIN.missing,
      `${program} can't be run: ${messageOf(end.error)}`,
      'Repair that program, or set HOLDFAST_YB_BIN to a folder that has a working yb-admin.',
      end.error,
    );
  }
  // A shell that wraps the program reports kill -9 as 128 + 9.
  if (typeof end.by === 'string' || end.code === 137)
    throw ended(operation, `was killed (${end.by ?? 'SIGKILL'})`);
  // Some builds write the error to stdout.
  throw classify(operation, said.trim() === '' ? output : said);
}

/** Part of a list would be taken for the whole list. */
function tooLong(operation: string): HoldfastError {
  return permanent(
    YB_ADMIN.unreadable,
    `yb-admin ${operation} printed more than ${KEPT_CHARACTERS / 1024 ** 2} MiB, which is more than is kept of it`,
    'Tell the developers of Holdfast how many tables and tablets the universe has.',
  );
}
