import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../model/errors.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';

/** docs/releasing.md: the packages of a release, packed and installed as a user does, without a network. */
const ROOT = path.dirname(path.dirname(__dirname));
const PLATFORM = `${process.platform}-${process.arch}`;
const OWN = `${packageJson.name}-${PLATFORM}`;
/** What the package may take on disk, in bytes, blocks and all. */
const INSTALLED_AT_MOST = 120_000_000;

const run = promisify(execFile);

let scratch: string;
/** The packages, and npm's folder of global ones with the package of this platform installed. */
let release: string;
let prefix: string;
let installed: string;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'holdfast-release-'));
  const checkout = path.join(scratch, 'checkout');
  await cp(ROOT, checkout, { recursive: true, filter: isSource });
  await symlink(path.join(ROOT, 'node_modules'), path.join(checkout, 'node_modules'));
  release = path.join(scratch, 'release');
  await npm(checkout, 'run', 'pack:release', '--', release, PLATFORM);
  prefix = path.join(scratch, 'prefix');
  await install('--global', '--prefix', prefix, tarball(`-${PLATFORM}`));
  installed = path.join(prefix, 'lib/node_modules', OWN);
});

afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Everything of the checkout that isn't built, installed or Git's. */
function isSource(file: string): boolean {
  return !['node_modules', 'dist', '.git'].includes(path.relative(ROOT, file));
}

const tarball = (platform: string) => path.join(release, `holdfast-${packageJson.version}${platform}.tgz`);

/** With an empty cache and without a network, so that whatever is not in the packages is missing. */
const install = (...args: readonly string[]) =>
  npm(scratch, 'install', '--offline', '--no-audit', '--cache', path.join(scratch, 'cache'), ...args);

function holdfast(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  return run(path.join(prefix, 'bin/holdfast'), args, {
    cwd: scratch,
    env: {
      ...process.env,
      PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}`,
      ...environment,
    },
  });
}

/** Runs npm and returns its stdout, where the compiler's complaints are too when a build fails. */
async function npm(folder: string, ...args: readonly string[]): Promise<string> {
  try {
    return (await run('npm', args, { cwd: folder, maxBuffer: 64 * 1024 * 1024 })).stdout;
  } catch (error) {
    const output = error instanceof Error && 'stdout' in error ? error.stdout : '';
    throw new Error(`npm ${args[0]} failed: ${messageOf(error)}\n${output}`, { cause: error });
  }
}

test('it takes less than 120 MB, with one core, and without what only the bundler needs', async () => {
  const { stdout } = await run('du', ['--summarize', '--block-size=1', prefix]);
  expect(Number.parseInt(stdout, 10)).toBeLessThan(INSTALLED_AT_MOST);
  const packages = path.join(installed, 'node_modules');
  expect(await readdir(path.join(packages, '@temporalio/core-bridge/releases'))).toHaveLength(1);
  const names = await readdir(packages);
  for (const name of ['webpack', 'memfs', 'swc-loader', '@swc', 'typescript', 'jest'])
    expect(names).not.toContain(name);
});

test('it carries the workflows bundled, the recipes and the manual, and no tests', async () => {
  const files = await readdir(installed, { recursive: true });
  const own = files.filter((file) => !file.startsWith('node_modules'));
  expect(own).toEqual(
    expect.arrayContaining([
      ...['dist/workflow-bundle.index.js', 'dist/workflow-bundle.versioned.js', 'dist/holdfast.1', 'LICENSE'],
      ...['plans/holdfast.schema.json', 'docs/upgrading.md', 'deploy/Dockerfile', 'deploy/compose.yaml'],
      ...['deploy/kubernetes/worker.yaml', 'deploy/systemd/holdfast-worker.service'],
      `dist/dependencies/zod-${packageJson.dependencies.zod}.mjs`,
    ]),
  );
  expect(own.filter((file) => /^test|\.test\.|(?<!\.d)\.ts$/.test(file))).toEqual([]);
});

test('it imports nothing but Node and what it declares as dependencies', async () => {
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

test('npm misses nothing in it, and the bill of materials lists what is there', async () => {
  await expect(npm(scratch, 'ls', '--all', '--global', '--prefix', prefix)).resolves.toContain(OWN);
  const bill = JSON.parse(await readFile(path.join(release, `${PLATFORM}.cdx.json`), 'utf8'));
  const listed = (bill.components as readonly { purl: string }[]).map(({ purl }) => purl);
  expect(bill.bomFormat).toBe('CycloneDX');
  for (const [name, version] of Object.entries(packageJson.dependencies))
    expect(listed).toContain(`pkg:npm/${name.replace('@', '%40')}@${version}`);
  expect(listed.filter((purl) => /webpack/.test(purl))).toEqual([]);
});

test('a worker without the bundler makes a backup', async () => {
  const postgres: PostgresServer = await startPostgres();
  const environment = {
    HOLDFAST_STATE_DIR: path.join(scratch, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  try {
    await query(postgres.url('postgres'), 'CREATE DATABASE orders');
    await query(postgres.url('orders'), 'CREATE TABLE orders (id int)', 'INSERT INTO orders VALUES (1), (2)');
    await mkdir(path.join(scratch, 'repository'));
    const plan = path.join(scratch, 'orders.yaml');
    await writeFile(plan, repositoryDocument(scratch) + planDocument('orders'));
    await expect(holdfast(['validate', plan])).resolves.toBeDefined();
    await expect(holdfast(['validate', 'missing.yaml'])).rejects.toMatchObject({ code: 2 });
    const { stdout } = await holdfast(['backup', plan, '--json'], environment);
    expect(JSON.parse(stdout)).toMatchObject({ rows: 2, verdict: 'OK' });
  } finally {
    await holdfast(['down'], environment);
    await postgres.stop();
  }
});

describe('the library', () => {
  let program = '';

  beforeAll(async () => {
    program = path.join(scratch, 'program');
    await mkdir(program);
    await writeFile(path.join(program, 'package.json'), '{ "type": "module" }');
    await install('--prefix', program, tarball(''), tarball(`-${PLATFORM}`));
    await symlink(path.join(ROOT, 'node_modules/@types'), path.join(program, 'node_modules/@types'));
  });

  /** Checks the types of these files as a strict program would. Rejects with what the compiler says. */
  const check = (...files: readonly string[]) =>
    run(
      path.join(ROOT, 'node_modules/.bin/tsc'),
      [
        '--noEmit',
        '--strict',
        '--target',
        'es2024',
        '--module',
        'nodenext',
        '--skipLibCheck',
        '--types',
        'node',
        ...files,
      ],
      { cwd: program },
    );

  test('has types, by which the example of docs/library.md is right and a mistake is found', async () => {
    const page = await readFile(path.join(ROOT, 'docs/library.md'), 'utf8');
    const [, example = ''] = page.match(/```ts\n([\s\S]*?)```/) ?? [];
    await writeFile(path.join(program, 'example.ts'), example);
    await expect(check('example.ts')).resolves.toBeDefined();
    await writeFile(path.join(program, 'mistake.ts'), example.replace("openPlan('", "openPlan(5, '"));
    await expect(check('mistake.ts')).rejects.toMatchObject({
      stdout: expect.stringContaining("'number' is not assignable"),
    });
  });

  test('checks a plan, explains it and lists its repository', async () => {
    await cp(path.join(ROOT, 'test/fixtures/backups/ysql'), path.join(program, 'repository'), {
      recursive: true,
    });
    await writeFile(path.join(program, 'plan.yaml'), repositoryDocument(program) + planDocument('ysql'));
    await writeFile(
      path.join(program, 'program.ts'),
      `import { explain, list, openPlan, validate } from '${packageJson.name}';
const { document } = await validate(['plan.yaml']);
const plan = await openPlan('plan.yaml');
const { backups } = await list(plan, { environment: {} });
console.log(JSON.stringify({ valid: document.valid, verbs: (await explain(plan)).steps.map(({ verb }) => verb), rows: backups[0]?.rows }));
`,
    );
    await expect(check('program.ts')).resolves.toBeDefined();
    const { stdout, stderr } = await run(process.execPath, ['program.ts'], { cwd: program });
    expect({ stderr, ...JSON.parse(stdout) }).toEqual({
      stderr: '',
      valid: true,
      verbs: expect.arrayContaining(['snapshot', 'export', 'upload']),
      rows: 1967,
    });
  });

  test('opens nothing below dist/', async () => {
    const inner = `import '${packageJson.name}/dist/library/runs.js'`;
    const args = ['--input-type=module', '--eval', inner];
    await expect(run(process.execPath, args, { cwd: program })).rejects.toMatchObject({
      stderr: expect.stringContaining('ERR_PACKAGE_PATH_NOT_EXPORTED'),
    });
  });
});

test('the launcher starts the package of this platform, and says so where it is missing', async () => {
  const folder = path.join(scratch, 'launched');
  await install('--prefix', folder, tarball(''), tarball(`-${PLATFORM}`));
  const launcher = path.join(folder, 'node_modules', packageJson.name, 'holdfast.mjs');
  const launch = () => run(process.execPath, [launcher, '--version']);
  await expect(launch()).resolves.toMatchObject({ stdout: `${packageJson.version}\n` });
  await rm(path.join(folder, 'node_modules', OWN), { recursive: true });
  await expect(launch()).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`${OWN} is not installed`),
  });
});

/** `@scope/name/path` and `name/path` are of `@scope/name` and `name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
