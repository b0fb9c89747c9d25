import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { BackupSummary, RestoreSummary, VerifyReport } from '../../model/backup.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { AGE, executableOf } from '../../parts/tools.ts';
import { newPeople, newPerson, type People } from '../repository/encryption/recipients.ts';
import { clearFiles, search } from '../repository/encryption/thief.ts';
import { holdfast, holdfastJson, startDev } from '../support/holdfast.ts';
import { planDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';

/* An encrypted repository as an operator has it: a worker that backs up without an identity, and the one machine that can restore. */

const run = promisify(execFile);

/** Words of the source that a thief must not find: a row, a table, a column, a function's body, a role, a comment. */
const WORDS = [
  'tulips-for-the-queen',
  'secret_orders',
  'beneficiary_iban',
  'compute_the_margin_quietly',
  'role_of_the_auditor',
  'a comment that nobody should read',
];

let postgres: PostgresServer;
let gateway: S3Gateway;
let folder: string;
let people: People;
let stopDev: () => Promise<void>;
/** Without an identity: makes backups, and nothing more. */
let backupSide: NodeJS.ProcessEnv;
/** With Alice's. */
let restoreSide: NodeJS.ProcessEnv;

beforeAll(async () => {
  postgres = await startPostgres();
  gateway = await startS3Gateway();
  await gateway.createBucket('backups');
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-encryption-'));
  people = await newPeople();
  await mkdir(path.join(folder, 'repository'));
  await mkdir(path.join(folder, 'clear'));
  await writeFile(path.join(folder, 'metadata-identity'), `# of every worker\n${people.worker.identity}\n`);
  await writeFile(path.join(folder, 'alice'), `${people.alice.identity}\n`);
  await writeFile(path.join(folder, 'bob'), `# Bob's\n${people.bob.identity}\n`);
  const environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
    S3_KEY: gateway.accessKeyId,
    S3_SECRET: gateway.secretAccessKey,
  };
  backupSide = environment;
  restoreSide = { ...environment, HOLDFAST_IDENTITY: people.alice.identity };
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(postgres.url('postgres'), 'CREATE ROLE role_of_the_auditor');
  await query(
    postgres.url('orders'),
    `CREATE TABLE secret_orders (id int PRIMARY KEY, beneficiary_iban text);
     INSERT INTO secret_orders SELECT n, 'tulips-for-the-queen ' || n FROM generate_series(1, 20000) n;
     COMMENT ON TABLE secret_orders IS 'a comment that nobody should read';
     GRANT SELECT ON secret_orders TO role_of_the_auditor;
     CREATE FUNCTION margin() RETURNS int LANGUAGE plpgsql AS $$ BEGIN /* compute_the_margin_quietly */ RETURN 42; END $$;`,
  );
  stopDev = await startDev(backupSide);
});
afterAll(async () => {
  await stopDev?.();
  await gateway?.stop();
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

function encryption(recipients: readonly string[]): string {
  return `  encryption:
    recipients: [${recipients.join(', ')}]
    identity: { env: HOLDFAST_IDENTITY }
    metadataIdentity: { file: ${path.join(folder, 'metadata-identity')} }
`;
}

/** A plan file of its own, so that two of them may say different things of one place. */
async function planFile(name: string, place: string, more: string): Promise<string> {
  const file = path.join(folder, `${name}.yaml`);
  await writeFile(
    file,
    `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec:\n  ${place}\n${more}${planDocument(name, '', ', globals: roles, chunkSize: 1MiB')}`,
  );
  return file;
}
const inDirectory = (name = 'repository') => `directory: ${path.join(folder, name)}`;
const both = () => encryption([people.alice.recipient, people.bob.recipient]);

const digest = async (database: string) =>
  query(
    postgres.url(database),
    `SELECT count(*), sum(hashtextextended(t::text, 0)::numeric)::text, margin() FROM secret_orders t`,
  );

describe('an encrypted repository in a directory', () => {
  let plan: string;
  let backup: string;

  test('a worker without an identity makes a backup, and a thief finds nothing in it', async () => {
    plan = await planFile('orders', inDirectory(), both());
    const made = await holdfastJson<BackupSummary & { verdict: string }>(['backup', plan], backupSide);
    expect(made).toMatchObject({ rows: 20_000, verdict: 'OK' });
    backup = made.backup;
    expect(await search(path.join(folder, 'repository'), WORDS)).toEqual({});
    expect(await clearFiles(path.join(folder, 'repository'))).toEqual([]);
    // The same search finds every word where nothing is encrypted.
    const clear = await planFile('clear', inDirectory('clear'), '');
    await holdfastJson(['backup', clear], backupSide);
    expect(Object.keys(await search(path.join(folder, 'clear'), WORDS)).sort()).toEqual([...WORDS].sort());
  });

  test('that worker lists and verifies checksums; of contents it says INCONCLUSIVE, with the code, and it restores nothing', async () => {
    // The worker that made the backup has the key of its data as long as it lives.
    await stopDev();
    stopDev = await startDev(backupSide);
    const listed = await holdfastJson<{ backups: { backup: string }[] }>(['list', plan], backupSide);
    expect(listed.backups.map((each) => each.backup)).toEqual([backup]);
    const checksums = await holdfastJson<VerifyReport>(
      ['verify', plan, backup, '--level', 'checksums'],
      backupSide,
    );
    expect(checksums).toMatchObject({ verdict: 'OK', problems: [] });
    const content = await holdfast(['verify', plan, backup, '--level', 'content', '--json'], backupSide);
    expect(content.code).toBe(3);
    expect(JSON.parse(content.stdout)).toMatchObject({
      verdict: 'INCONCLUSIVE',
      problems: [expect.stringContaining('ENCRYPTION_NO_IDENTITY')],
    });
    const restored = await holdfast(['restore', plan, '--into', 'nothing', '--json'], backupSide);
    expect(restored.code).not.toBe(0);
    expect(restored.stdout + restored.stderr).toContain('no identity');
    const databases = await query(
      postgres.url('postgres'),
      `SELECT 1 FROM pg_database WHERE datname LIKE 'nothing%'`,
    );
    expect(databases).toEqual([]);
  });

  test('with an identity of a recipient everything is verified and restored; a wrong one is INCONCLUSIVE', async () => {
    const content = await holdfastJson<VerifyReport>(
      ['verify', plan, backup, '--level', 'content'],
      restoreSide,
    );
    expect(content).toMatchObject({ verdict: 'OK', problems: [] });
    const restored = await holdfastJson<RestoreSummary>(['restore', plan, '--into', 'copy'], restoreSide);
    expect(restored).toMatchObject({ verdict: 'OK', rows: 20_000 });
    expect(await digest('copy')).toEqual(await digest('orders'));
    const stranger = { ...backupSide, HOLDFAST_IDENTITY: (await newPerson()).identity };
    const wrong = await holdfast(['verify', plan, backup, '--level', 'content', '--json'], stranger);
    expect(wrong.code).toBe(3);
    expect(JSON.parse(wrong.stdout)).toMatchObject({
      verdict: 'INCONCLUSIVE',
      problems: [expect.stringContaining('ENCRYPTION_WRONG_IDENTITY')],
    });
  });

  test('age and decrypt.mjs turn it into a clear backup, which its RESTORE.md restores literally', async () => {
    const copy = path.join(folder, 'downloads', 'repository');
    await cp(path.join(folder, 'repository'), copy, { recursive: true });
    const [, unwrap = ''] =
      /```sh\n([\s\S]*?)```/.exec(await readFile(path.join(copy, 'RESTORE.md'), 'utf8')) ?? [];
    const age = await executableOf(AGE);
    const environment = {
      ...process.env,
      PATH: `${path.dirname(age)}:${path.dirname(process.execPath)}:${postgres.binDirectory}:${process.env.PATH}`,
      IDENTITY: path.join(folder, 'bob'),
    };
    const { stdout } = await run('sh', ['-ec', unwrap], { cwd: copy, env: environment });
    expect(stdout).toMatch(/^\d+ objects decrypted\n$/);
    await query(postgres.url('postgres'), 'ALTER DATABASE orders RENAME TO orders_original');
    const url = new URL(postgres.url('postgres'));
    const at = path.join(folder, 'downloads', 'clear', 'backups', 'orders', backup);
    const restore = await readFile(path.join(at, 'RESTORE.md'), 'utf8');
    for (const [, commands = ''] of restore.matchAll(/```sh\n([\s\S]*?)```/g)) {
      await run('sh', ['-c', commands], {
        cwd: at,
        env: {
          ...environment,
          PGHOST: url.hostname,
          PGPORT: url.port,
          PGUSER: url.username,
          PGPASSWORD: decodeURIComponent(url.password),
        },
      });
    }
    expect(await digest('orders')).toEqual(await digest('orders_original'));
  });

  test('keys are checked, and encrypted to others: then Alice is out and Carol in', async () => {
    const closed = await holdfast(['keys', 'check', plan, '--json'], backupSide);
    expect(closed.code).toBe(3);
    const checked = await holdfastJson<{ verdict: string; keys: { by: string }[]; backups: number }>(
      ['keys', 'check', plan],
      restoreSide,
    );
    expect(checked).toMatchObject({ verdict: 'OK', lost: [], backups: 1 });
    const carol = await newPerson();
    const without = await planFile(
      'orders',
      inDirectory(),
      encryption([carol.recipient, people.bob.recipient]),
    );
    await holdfastJson(['keys', 'rewrap', without], restoreSide);
    const ofAlice = await holdfast(['keys', 'check', without, '--json'], restoreSide);
    expect(ofAlice.code).toBe(3);
    const carols = { ...backupSide, HOLDFAST_IDENTITY: carol.identity };
    await expect(holdfastJson(['keys', 'check', without], carols)).resolves.toMatchObject({ verdict: 'OK' });
    await expect(
      holdfastJson<VerifyReport>(['verify', without, backup, '--level', 'content'], carols),
    ).resolves.toMatchObject({ verdict: 'OK' });
  });

  test('doctor says what this worker can do, and who last opened the keys', async () => {
    const { stdout } = await holdfast(['doctor', plan, '--here', '--json'], backupSide);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; detail: string }[] };
    const line = checks.find(({ name }) => name === 'encryption')?.detail;
    expect(line).toContain('can’t restore');
    expect(line).toMatch(/last opened by recipient age1/);
  });

  test('a plan that says clear over it is refused, as is one that says encrypted over a clear one', async () => {
    const clearOver = await planFile('over', inDirectory(), '');
    const refused = await holdfast(['backup', clearOver, '--json'], backupSide);
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain('REPOSITORY_IS_ENCRYPTED');
    const encryptedOver = await planFile('over', inDirectory('clear'), both());
    const other = await holdfast(['backup', encryptedOver, '--json'], backupSide);
    expect(other.code).toBe(1);
    expect(other.stdout).toContain('REPOSITORY_IS_CLEAR');
    expect(await clearFiles(path.join(folder, 'repository'))).toEqual([]);
  });

  test('a key file that is gone: keys check names the backup that is lost', async () => {
    const about = JSON.parse(await readFile(path.join(folder, 'repository', 'repository.json'), 'utf8')) as {
      encryption: { metadataKey: string };
    };
    const keys = path.join(folder, 'repository', 'keys');
    for (const name of await readdir(keys)) {
      if (name !== `${about.encryption.metadataKey}.age`) await unlink(path.join(keys, name));
    }
    const lost = await holdfast(['keys', 'check', plan, '--json'], restoreSide);
    expect(lost.code).toBe(1);
    expect(JSON.parse(lost.stdout)).toMatchObject({ verdict: 'FAILED', lost: [{ backup }] });
  });
});

test('an encrypted repository in a bucket: backed up without an identity, nothing to be found, restored with one', async () => {
  const place = `s3: { bucket: backups, prefix: here, region: ${gateway.region}, endpoint: '${gateway.endpoint}', credentials: { accessKeyId: { env: S3_KEY }, secretAccessKey: { env: S3_SECRET } } }`;
  const database = { ORDERS_DATABASE_URL: postgres.url('orders') };
  const plan = await planFile('bucket', place, both());
  await expect(holdfastJson(['backup', plan], { ...backupSide, ...database })).resolves.toMatchObject({
    rows: 20_000,
    verdict: 'OK',
  });
  expect(await search(path.join(gateway.directory, 'backups'), WORDS)).toEqual({});
  expect(await clearFiles(path.join(gateway.directory, 'backups', 'here'))).toEqual([]);
  await expect(
    holdfastJson<RestoreSummary>(['restore', plan, '--into', 'from_bucket'], { ...restoreSide, ...database }),
  ).resolves.toMatchObject({ verdict: 'OK', rows: 20_000 });
  expect(await digest('from_bucket')).toEqual(await digest('orders'));
});
