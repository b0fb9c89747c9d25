import { constants } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { didYouMean } from '../compiler/closest.ts';
import { type Compilation, compile, planNamesIn } from '../compiler/compile.ts';
import type { Diagnostic, Problem } from '../compiler/diagnostic.ts';
import { fileTooLarge, MAXIMUM_FILE_BYTES } from '../compiler/parse.ts';
import { renderDiagnostics } from '../compiler/render.ts';
import type { SourceFile } from '../compiler/source-text.ts';
import { messageOf, UsageError } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { memberNamed } from '../planning/discovery.ts';

/** The folder in which a plan is looked for by its name, if no other is given. */
const PLANS_FOLDER = 'plans';

/** Errors that the files beside those that were given may mend. */
const SHARED: readonly string[] = ['UNKNOWN_REPOSITORY', 'UNKNOWN_TEMPLATE'];

const PLAN_FILE = /\.ya?ml$/i;

const SOURCES = new WeakMap<CompiledPlan, readonly SourceFile[]>();

/** The files that a plan was compiled from, where this process did it. */
export function sourcesOf(plan: CompiledPlan): readonly SourceFile[] {
  return SOURCES.get(plan) ?? [];
}

interface LoadedFiles {
  readonly files: readonly SourceFile[];
  /** One error for each file that can't be read, at its first character. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Files and their compilation. Errors of reading and of contents are in one list. */
export interface CompiledFiles extends Compilation {
  readonly files: readonly SourceFile[];
  /** The same, and those beside them that lent a repository or a template. Errors may stand in these too. */
  readonly sources: readonly SourceFile[];
}

/** Plan files that have errors; the message shows each at its place. */
export class InvalidPlanError extends UsageError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(what: string, diagnostics: readonly Diagnostic[], files: readonly SourceFile[]) {
    const count = diagnostics.length === 1 ? 'an error' : `${diagnostics.length} errors`;
    const shown = renderDiagnostics(diagnostics, files, { color: false });
    super(`${what} has ${count}:\n\n${shown}`, 'Correct it; `holdfast validate` checks it again.');
    this.diagnostics = diagnostics;
  }
}

/**
 * Reads plan files. A directory stands for its `*.yaml` and `*.yml` files. A file that can't be read becomes a diagnostic, and
 * the other files are read nevertheless.
 */
export async function loadPlanFiles(paths: readonly string[]): Promise<LoadedFiles> {
  const loaded = new Map<string, SourceFile | Diagnostic>();
  for (const path of paths) {
    for (const file of await expand(path)) {
      const key = resolve(file);
      if (!loaded.has(key)) loaded.set(key, await load(file));
    }
  }
  const results = [...loaded.values()];
  return {
    files: results.filter((result) => 'text' in result),
    diagnostics: results.filter((result) => 'code' in result),
  };
}

/**
 * Loads and compiles plan files. If they don't define a repository or a template that they name, the files beside them are searched for
 * it, so that the plans of a folder can share one.
 */
export async function compilePlanFiles(paths: readonly string[]): Promise<CompiledFiles> {
  const { files, diagnostics } = await loadPlanFiles(paths);
  const alone = compile(files);
  const isMissing = alone.diagnostics.some(({ code }) => SHARED.includes(code));
  const sources = isMissing ? [...files, ...(await neighbours(files))] : files;
  const compilation = isMissing ? compile(sources) : alone;
  for (const plan of compilation.plans) SOURCES.set(plan, sources);
  return { ...compilation, files, sources, diagnostics: [...diagnostics, ...compilation.diagnostics] };
}

/**
 * The plan that an argument means: a file (`plans/orders.yaml`, with `#name` where it holds several), or the name of a plan in a
 * file of `folder`.
 *
 * @throws InvalidPlanError where its file has errors, UsageError where there is no such plan
 */
export async function resolvePlan(argument: string, folder = PLANS_FOLDER): Promise<CompiledPlan> {
  const [path = '', name] = argument.split('#');
  if (path.includes('/') || PLAN_FILE.test(path)) return planInFile(path, name);
  return planByName(path, folder);
}

/** The plan of this name in a file of `folder`. Never reads a file outside it. Throws as `resolvePlan`. */
export async function planByName(name: string, folder: string): Promise<CompiledPlan> {
  return planInFile(await fileOfPlan(name, folder), name);
}

/** Every plan of the files in `folder`. Throws as `resolvePlan`. */
export async function resolvePlans(folder = PLANS_FOLDER): Promise<readonly CompiledPlan[]> {
  const { plans, diagnostics, sources } = await compilePlanFiles([folder]);
  if (diagnostics.length > 0) throw new InvalidPlanError(`${folder}/`, diagnostics, sources);
  if (plans.length > 0) return plans;
  throw new UsageError(
    `There is no plan in ${folder}/.`,
    'Name a plan file, or write one with `holdfast init`.',
  );
}

async function planInFile(path: string, name: string | undefined): Promise<CompiledPlan> {
  const { plans, diagnostics, sources } = await compilePlanFiles([path]);
  if (diagnostics.length > 0) throw new InvalidPlanError(path, diagnostics, sources);
  const names = plans.map((plan) => plan.name);
  const [only, ...others] = name === undefined ? plans : plans.filter((plan) => plan.name === name);
  const member = only === undefined && name !== undefined ? memberNamed(plans, name) : undefined;
  if (member !== undefined) {
    SOURCES.set(member, sources);
    return member;
  }
  if (only !== undefined && others.length === 0) return only;
  if (name !== undefined) {
    throw new UsageError(
      `There is no plan ${name} in ${path}.`,
      didYouMean(name, names) ?? `It has ${names.join(', ') || 'no plan'}.`,
    );
  }
  throw only === undefined
    ? new UsageError(`${path} holds no plan.`, 'Name a file with a `kind: BackupPlan` document.')
    : new UsageError(
        `${path} holds several plans.`,
        `Say which one: ${names.map((each) => `${path}#${each}`).join(', ')}.`,
      );
}

async function fileOfPlan(name: string, folder: string): Promise<string> {
  const { files } = await loadPlanFiles([folder]);
  const plans = files.flatMap((file) => planNamesIn(file).map((plan) => ({ plan, path: file.path })));
  const [found, ...others] = plans.filter(({ plan }) => plan === name);
  if (found === undefined) {
    const finder = memberNamed((await compilePlanFiles([folder])).plans, name);
    if (finder !== undefined) return finder.file;
    const known = plans.map(({ plan }) => plan);
    throw new UsageError(
      `There is no plan ${name} in ${folder}/.`,
      didYouMean(name, known) ??
        (known.length === 0
          ? 'Name the file that has it, or write one with `holdfast init`.'
          : `Plans there: ${known.join(', ')}.`),
    );
  }
  if (others.length > 0) {
    const paths = [found, ...others].map(({ path }) => `${path}#${name}`);
    throw new UsageError(`Several files have a plan ${name}.`, `Say which one: ${paths.join(', ')}.`);
  }
  return found.path;
}

/** The other files in the folders of the given ones. They only lend their repositories and templates. */
async function neighbours(files: readonly SourceFile[]): Promise<readonly SourceFile[]> {
  const given = new Set(files.map(({ path }) => resolve(path)));
  const folders = [...new Set(files.map(({ path }) => dirname(path)))];
  const loaded = await loadPlanFiles(folders);
  return loaded.files
    .filter(({ path }) => !given.has(resolve(path)))
    .map((file) => ({ ...file, role: 'context' as const }));
}

async function expand(path: string): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = (await readdir(path)).filter((name) => PLAN_FILE.test(name)).sort();
    // A directory without plan files stays in the list: reading it then gives the right error.
    return names.length === 0 ? [path] : names.map((name) => join(path, name));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [path];
  }
}

async function load(path: string): Promise<SourceFile | Diagnostic> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, opening a pipe that has no writer would block for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (stats.isDirectory()) return unreadable(path, directoryProblem(path));
    if (!stats.isFile()) return unreadable(path, notAFile(path));
    if (stats.size > MAXIMUM_FILE_BYTES) return unreadable(path, fileTooLarge(stats.size));
    return { path, text: new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile()) };
  } catch (error) {
    return unreadable(path, readProblem(path, error));
  } finally {
    await file?.close();
  }
}

function unreadable(path: string, { code, message, remedy }: Problem): Diagnostic {
  return { code, file: path, line: 1, column: 1, endLine: 1, endColumn: 1, message, remedy };
}

function directoryProblem(path: string): Problem {
  return {
    code: 'FILE_IS_DIRECTORY',
    message: PLAN_FILE.test(path)
      ? 'This is a directory, not a file'
      : 'This directory holds no file whose name ends in .yaml or .yml',
    remedy: 'Name a plan file, or a directory of plan files.',
  };
}

function notAFile(path: string): Problem {
  return {
    code: 'FILE_UNREADABLE',
    message: 'This is a device, a pipe or a socket, not a file',
    remedy: `Copy it into a file and name that instead of ${path}.`,
  };
}

function readProblem(path: string, error: unknown): Problem {
  const code = codeOf(error);
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
    return {
      code: 'FILE_NOT_UTF8',
      message: 'The file is not UTF-8 text',
      remedy: 'Save it as UTF-8.',
    };
  }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return {
      code: 'FILE_NOT_FOUND',
      message: 'There is no such file',
      remedy: 'Check the path; `holdfast init` writes a new plan file.',
    };
  }
  return {
    code: 'FILE_UNREADABLE',
    message: `The file can't be read: ${messageOf(error)}`,
    remedy: `Check the permissions and the type of ${path}.`,
  };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The name of the plan that an argument means. Reads no file if the argument is a name. */
export async function planNameOf(argument: string): Promise<string> {
  const [path = '', name] = argument.split('#');
  if (!path.includes('/') && !PLAN_FILE.test(path)) return name ?? path;
  return name ?? (await resolvePlan(argument)).name;
}
