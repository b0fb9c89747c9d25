import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { BackupSummary, RestoreSummary, VerifyReport } from '../../model/backup.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { sealJson } from '../../repository/sealed-json.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { holdfast, holdfastJson, startDev } from '../support/holdfast.ts';
import { planDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';

/* Signatures as an operator meets them: from an unsigned repository on, with a forger who has SQL run at the next drill, if he can. */

const run = promisify(execFile);

let postgres: PostgresServer;
let folder: string;
let repository: string;
let environment: NodeJS.ProcessEnv;
let stopDev: () => Promise<void>;
/** A person's shell: it trusts the worker's key, and has none. */
let plan: string;
/** The same plan without `signing`, as it was before. */
let before: string;

beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-signing-'));
  repository = path.join(folder, 'repository');
  await mkdir(repository);
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    'CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 1000)',
  );
  stopDev = await startDev(environment);
});
afterAll(async () => {
  await stopDev?.();
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function planFile(name: string, signing: string, spec = ''): Promise<string> {
  const file = path.join(folder, `${name}.yaml`);
  await writeFile(
    file,
    `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec:\n  directory: ${repository}\n${signing}${planDocument('orders', spec)}`,
  );
  return file;
}

const manifestOf = (backup: string) => path.join(repository, 'backups', 'orders', backup, 'manifest.json');

/** What a forger does: SQL of his in the schema, and every hash made right. */
async function forge(backup: string): Promise<void> {
  const text = await readFile(manifestOf(backup), 'utf8');
  const { sha256: _seal, signature: _signature, ...manifest } = JSON.parse(text);
  const script = manifest.databases[0].schemaObjects.find(({ key }: { key: string }) =>
    key.includes('pre-data'),
  );
  const body = Buffer.from(
    `${await readFile(path.join(path.dirname(manifestOf(backup)), script.key), 'utf8')}\nCREATE TABLE pwned ();\n`,
  );
  const sha256 = sha256Hex(body);
  const key = script.key.replace(/[0-9a-f]{12,16}(?=\.sql)/, (hash: string) => sha256.slice(0, hash.length));
  await writeFile(path.join(path.dirname(manifestOf(backup)), key), body);
  manifest.totals.storedBytes += body.length - script.sizeBytes;
  Object.assign(script, { key, sha256, sizeBytes: body.length });
  await writeFile(manifestOf(backup), sealJson(manifest));
}

test('a repository that was not signed: status says so, and what was made before is refused until a person signs it', async () => {
  before = await planFile('before', '');
  const { backup: old } = await holdfastJson<BackupSummary>(['backup', before], environment);
  expect((await holdfast(['status', before], environment)).stdout).toContain('signed:            no');

  const key = path.join(folder, 'signing-key');
  const made = await holdfast(['keys', 'signing', key, '--comment', 'worker-1'], environment);
  expect(made.stdout).toMatch(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\S+ worker-1\n$/);
  plan = await planFile(
    'orders',
    `  signing:\n    key: { file: ${key} }\n    trusted: ['${made.stdout.trim()}']\n`,
    '  drill: {}\n',
  );
  const refused = await holdfast(['backup', plan], environment);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain('holdfast sign');
  const restore = ['restore', plan, '--backup', old, '--into', 'orders_old'];
  expect((await holdfast(restore, environment)).stderr).toContain('is unsigned');

  const signed = await holdfast(['sign', plan, old], environment);
  expect(signed).toMatchObject({ code: 0 });
  expect(signed.stdout).toContain(`${old}: whole, and signed`);
  expect(await holdfastJson<RestoreSummary>(restore, environment)).toMatchObject({
    verdict: 'OK',
    rows: 1000,
  });
  expect(await holdfastJson<VerifyReport>(['verify', plan, old], environment)).toMatchObject({
    verdict: 'OK',
  });
});

test('a signed backup is verified by ssh-keygen, restored and drilled; a forged one is not, by whatever command', async () => {
  const { backup } = await holdfastJson<BackupSummary>(['backup', plan], environment);
  const { publicLine, exit } = await verifiedBySsh(backup);
  expect(publicLine).toContain('ssh-ed25519');
  expect([0, 'ssh-keygen is not here']).toContain(exit);
  expect(await holdfastJson(['drill', plan], environment)).toMatchObject({ verdict: 'OK', backup });

  const saved = path.join(folder, 'saved');
  await cp(repository, saved, { recursive: true });
  await forge(backup);
  const restore = ['restore', plan, '--backup', backup, '--into', 'orders_forged'];
  const refused = await holdfast(restore, environment);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/unsigned|forged/);
  const { code, stdout } = await holdfast(['verify', plan, backup], environment);
  expect({ code, stdout }).toMatchObject({ code: 3, stdout: expect.stringContaining('INCONCLUSIVE') });
  const drill = await holdfast(['drill', plan, backup], environment);
  expect(drill.code).not.toBe(0);
  const status = await holdfast(['status', plan], environment);
  expect(status.stdout).toContain(`NOT USABLE:        ${backup}`);
  expect((await holdfast(['list', plan], environment)).stderr).toContain(`${backup} (unsigned)`);
  const tables = await query(
    postgres.url('postgres'),
    `SELECT datname FROM pg_database WHERE datname ~ 'forged|drill|scratch'`,
  );
  expect(tables).toEqual([]);
  await rm(repository, { recursive: true });
  await cp(saved, repository, { recursive: true });

  // Unsigned, and else as it was: a person says that he trusts it, for one run.
  const {
    sha256: _seal,
    signature: _signature,
    ...manifest
  } = JSON.parse(await readFile(manifestOf(backup), 'utf8'));
  await writeFile(manifestOf(backup), sealJson(manifest));
  expect((await holdfast(restore, environment)).stderr).toContain('is unsigned');
  const trusted = await holdfast([...restore, '--trust-unsigned'], environment);
  expect({ code: trusted.code, stderr: trusted.stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('warning: signatures are not asked for'),
  });
  expect(await query(postgres.url('orders_forged'), 'SELECT count(*)::int AS rows FROM orders')).toEqual([
    { rows: 1000 },
  ]);
  expect((await holdfast([...restore.slice(0, 4), '--replace', '--trust-unsigned'], environment)).code).toBe(
    2,
  );
  await rm(repository, { recursive: true });
  await cp(saved, repository, { recursive: true });
});

test('a backup that somebody takes away, and one that he brings back, are told by status and verify', async () => {
  const names = (await readdir(path.join(repository, 'backups', 'orders'))).sort();
  const [hidden = ''] = names.slice(-1);
  const { backup: newest } = await holdfastJson<BackupSummary>(['backup', plan], environment);
  const place = path.dirname(manifestOf(hidden));
  await cp(place, path.join(folder, 'taken'), { recursive: true });
  await rm(place, { recursive: true });
  const status = await holdfast(['status', plan], environment);
  expect(status.stdout).toContain(`NOT AS REGISTERED: Backup ${hidden} should be there`);
  const report = await holdfastJson<VerifyReport>(['verify', plan, newest], environment);
  expect(report.verdict).toBe('OK');
  expect(report.notes?.join()).toContain(hidden);

  // A person looks into it and says so; then it comes back.
  expect((await holdfast(['sign', plan, '--acknowledge'], environment)).stdout).toContain('acknowledged');
  expect((await holdfast(['status', plan], environment)).stdout).not.toContain('NOT AS REGISTERED');
  await cp(path.join(folder, 'taken'), place, { recursive: true });
  expect((await holdfast(['status', plan], environment)).stdout).toContain(
    `Backup ${hidden} is signed, and not in`,
  );
  const { code, stdout } = await holdfast(['verify', plan, hidden], environment);
  expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringContaining('brought it back') });
});

test('who asks for a deletion can’t approve it; a held backup stays; a prune deletes what another one approved', async () => {
  const [alice, bob] = [path.join(folder, 'alice'), path.join(folder, 'bob')];
  const lines: string[] = [];
  for (const file of [alice, bob]) {
    const { stdout } = await holdfast(
      ['keys', 'signing', file, '--comment', path.basename(file)],
      environment,
    );
    lines.push(`'${stdout.trim()}'`);
  }
  const text = await readFile(plan, 'utf8');
  await writeFile(
    plan,
    text.replace('  signing:', `  deletion: { approvers: [${lines.join(', ')}] }\n  signing:`),
  );
  const { backup } = await holdfastJson<BackupSummary>(['backup', plan], environment);
  const remove = ['delete', plan, backup];
  expect((await holdfast([...remove, '--reason', 'personal data', '--key', alice], environment)).code).toBe(
    0,
  );
  const own = await holdfast([...remove, '--approve', '--key', alice], environment);
  expect(own).toMatchObject({ code: 1, stderr: expect.stringContaining('can’t approve it') });
  await holdfast(['hold', plan, backup, '--reason', 'case 4711'], environment);
  expect((await holdfast([...remove, '--approve', '--key', bob], environment)).code).toBe(0);

  expect((await holdfast(['status', plan], environment)).stdout).toContain('case 4711');
  const listed = await holdfast(['list', plan], environment);
  expect(listed.stderr).toContain('case 4711');
  expect(listed.stderr).toContain('1 of 1 approvals');
  expect(await holdfastJson(['prune', plan], environment)).toMatchObject({ deletions: { inUse: [backup] } });
  await holdfast(['release', plan, backup, '--reason', 'closed'], environment);
  expect(await holdfastJson(['prune', plan], environment)).toMatchObject({
    deletions: { deleted: [backup] },
  });
  const { stdout } = await holdfast(['list', plan], environment);
  expect(stdout).not.toContain(backup);
  expect((await holdfast(['status', plan], environment)).stdout).not.toContain(`${backup} should be there`);
});

/** As docs/signing.md says. */
async function verifiedBySsh(backup: string) {
  const lines = (await readFile(manifestOf(backup), 'utf8')).split('\n');
  const text = `${lines.slice(0, -4).join('\n')}\n`;
  const { signature } = JSON.parse(await readFile(manifestOf(backup), 'utf8'));
  const [, publicLine = ''] = /trusted: \['(.*)'\]/.exec(await readFile(plan, 'utf8')) ?? [];
  const [allowed, file] = [path.join(folder, 'allowed'), path.join(folder, 'manifest.sig')];
  await writeFile(allowed, `worker ${publicLine}\n`);
  await writeFile(file, signature);
  try {
    await run('ssh-keygen', ['-l', '-f', allowed]);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return { publicLine, exit: 'ssh-keygen is not here' };
    }
  }
  const namespace = `holdfast:backups/orders/${backup}/manifest.json`;
  const child = spawn('ssh-keygen', [
    '-Y',
    'verify',
    '-f',
    allowed,
    '-I',
    'worker',
    '-n',
    namespace,
    '-s',
    file,
  ]);
  child.stdin.end(text);
  return { publicLine, exit: await new Promise<number | null>((resolve) => child.once('close', resolve)) };
}
