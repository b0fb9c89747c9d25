import { writeFile } from 'node:fs/promises';
import { archiveName } from '../../../engines/ysql/server/archive-names.ts';
import { holdfast, holdfastJson } from '../../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../../support/plan-files.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { type OperatorStage, startOperatorStage } from './operator-stage.ts';

interface WindowJson {
  readonly databases: readonly {
    readonly database: string;
    readonly intervals: readonly { readonly from: string; readonly to: string; readonly segments: number }[];
    readonly holes: readonly { readonly reason: string }[];
    readonly notArchived: readonly { readonly table: string }[];
  }[];
}

const ARCHIVE = '  pointTime: { archive: { lag: 1s } }\n';

let stage: OperatorStage;

beforeAll(async () => {
  stage = await startOperatorStage(
    'CREATE TABLE orders (id int PRIMARY KEY)',
    'CREATE TABLE log (line text)',
  );
});
afterAll(() => stage?.stop());

async function apply(spec: string) {
  await writeFile(stage.file, repositoryDocument(stage.folder) + planDocument('orders', spec));
  const { code, stdout, stderr } = await holdfast(['apply', stage.file, '--yes'], stage.environment);
  if (code !== 0) throw new Error(stdout + stderr);
  return stdout + stderr;
}

const slots = () =>
  query(
    stage.postgres.url(),
    `SELECT active FROM pg_replication_slots WHERE slot_name = '${archiveName('orders', 'orders')}'`,
  );
const publications = () => query(stage.postgres.url('orders'), 'SELECT tablename FROM pg_publication_tables');
const window = () => holdfastJson<WindowJson>(['window', stage.file], stage.environment);
const backups = async () =>
  (await holdfastJson<{ backups: readonly { instant: string }[] }>(['list', stage.file], stage.environment))
    .backups;

it('a plan’s archive begins when it is applied, gets a base, outlives a killed worker, and goes when it is not wanted', async () => {
  const told = await apply(ARCHIVE);
  expect(told).toContain('publication and a replication slot');
  await eventually('the slot is read', async () => (await slots()).some(({ active }) => active === true));
  await expect(publications()).resolves.toEqual([{ tablename: 'orders' }]);
  // A timeline without a base is of no use, so the archive asks its plan for one.
  await eventually('there is a base backup', async () => (await backups()).length === 1);

  const insert = (id: number) => query(stage.postgres.url('orders'), `INSERT INTO orders VALUES (${id})`);
  await insert(1);
  const archivedSince = async (time: string) => {
    const { databases } = await window();
    return databases.some(({ intervals }) => intervals.some(({ to }) => to >= time));
  };
  const before = new Date().toISOString();
  await insert(2);
  await eventually('the change is archived', () => archivedSince(before));
  await stage.workers.kill(0, 0);
  const after = new Date().toISOString();
  await insert(3);
  await eventually('the archive goes on', () => archivedSince(after));
  const { databases } = await window();
  expect(databases).toMatchObject([
    { database: 'orders', intervals: [{}], holes: [], notArchived: [{ table: 'public.log' }] },
  ]);
  const doctor = await holdfast(['doctor', stage.file, '--here'], stage.environment);
  expect(doctor.stdout).toContain('ALTER TABLE "public"."log" REPLICA IDENTITY FULL;');

  expect(await apply('')).toContain('drops its publications and replication slots');
  await eventually('the slot is gone', async () => (await slots()).length === 0);
  await eventually('the publication is gone', async () => (await publications()).length === 0);
  await eventually('the window says why it ends', async () => {
    const { databases: ended } = await window();
    return ended[0]?.holes[0]?.reason === 'The plan has no archive of changes any more.';
  });
});
