import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../model/errors.ts';
import packageJson from '../../package.json' with { type: 'json' };

const ROOT = path.dirname(path.dirname(__dirname));
/** Installing the published dependencies takes as long as the network takes. */
const INSTALL_TIMEOUT_MS = 600_000;

const run = promisify(execFile);

describe('the published package', () => {
  let scratch = '';
  let installed = '';

  const holdfast = (...args: readonly string[]) =>
    run(path.join(scratch, 'prefix/bin/holdfast'), args, {
      cwd: scratch,
      env: { ...process.env, PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}` },
    });

  beforeAll(async () => {
    scratch = await mkdtemp(path.join(tmpdir(), 'holdfast-package-'));
    const checkout = path.join(scratch, 'checkout');
    await cp(ROOT, checkout, { recursive: true, filter: isSource });
    await symlink(path.join(ROOT, 'node_modules'), path.join(checkout, 'node_modules'));
    const packed = await npm(checkout, 'pack', '--json', '--pack-destination', scratch);
    const tarball = path.join(scratch, nameOfTarball(packed));
    const prefix = path.join(scratch, 'prefix');
    await npm(scratch, 'install', '--global', '--prefix', prefix, '--prefer-offline', tarball);
    installed = path.join(prefix, 'lib/node_modules', packageJson.name);
  }, INSTALL_TIMEOUT_MS);

  afterAll(() => rm(scratch, { recursive: true, force: true }));

  it('has a command that checks a plan file', async () => {
    await cp(path.join(ROOT, 'plans/orders.yaml'), path.join(scratch, 'orders.yaml'));
    await expect(holdfast('validate', 'orders.yaml')).resolves.toBeDefined();
    await expect(holdfast('validate', 'missing.yaml')).rejects.toMatchObject({ code: 2 });
    await expect(holdfast('--version')).resolves.toMatchObject({ stdout: `${packageJson.version}\n` });
  });

  it('carries the workflows as one script, and no tests', async () => {
    const files = await readdir(installed, { recursive: true });
    expect(files).toContain('dist/workflow-bundle.index.js');
    expect(files).toContain('dist/workflow-bundle.versioned.js');
    expect(files).toContain('plans/holdfast.schema.json');
    expect(files).toContain('LICENSE');
    expect(files).toContain('deploy/systemd/holdfast-worker.service');
    expect(files).toContain('dist/holdfast.1');
    expect(files).toContain(`dist/dependencies/zod-${packageJson.dependencies.zod}.mjs`);
    const own = files.filter((file) => !file.startsWith('node_modules'));
    expect(own.filter((file) => /^test|\.test\.|(?<!\.d)\.ts$/.test(file))).toEqual([]);
  });

  it('imports nothing but Node and what it declares as dependencies', async () => {
    const files = await readdir(path.join(installed, 'dist'), { recursive: true });
    const imported = new Set<string>();
    for (const file of files.filter((name) => /\.m?js$/.test(name) && !name.startsWith('workflow-bundle.'))) {
      const text = await readFile(path.join(installed, 'dist', file), 'utf8');
      for (const [, specifier = ''] of text.matchAll(
        /^(?:import|export)\b[^'";]*\bfrom ['"]([^.'"][^'"]*)['"]/gm,
      )) {
        if (!specifier.startsWith('node:')) imported.add(packageOf(specifier));
      }
    }
    expect([...imported].filter((name) => !(name in packageJson.dependencies))).toEqual([]);
    expect(imported).toContain('pg');
  });
});

/** Runs npm and returns its stdout, where the compiler's complaints are too when a build fails. */
async function npm(folder: string, ...args: readonly string[]): Promise<string> {
  try {
    return (await run('npm', args, { cwd: folder })).stdout;
  } catch (error) {
    const output = error instanceof Error && 'stdout' in error ? error.stdout : '';
    throw new Error(`npm ${args[0]} failed: ${messageOf(error)}\n${output}`, { cause: error });
  }
}

/** Everything of the checkout that isn't built, installed or Git's. */
function isSource(file: string): boolean {
  return !['node_modules', 'dist', '.git'].includes(path.relative(ROOT, file));
}

/** npm prints what the build prints before its own JSON. */
function nameOfTarball(stdout: string): string {
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n')));
  return packed.filename;
}

/** `@scope/name/path` and `name/path` are of `@scope/name` and `name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
