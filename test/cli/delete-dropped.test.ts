import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { deleteApproved } from '../../activities/delete-approved.ts';
import { judgeByStorage } from '../../activities/prune.ts';
import { compilePlanFiles } from '../../library/plan-files.ts';
import { pruneInputOf } from '../../planning/prune.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { writeSampleBackup } from '../repository/sample-backup.ts';
import { newSigner } from '../repository/signing/signers.ts';
import { holdfastIn } from '../support/holdfast.ts';
import { withScratchFolder } from '../support/scratch.ts';

const DAYS = ['19', '20', '21', '22', '23'];
const backupOf = (day: string) => `202611${day}T020000Z-sample`;
const [alice, bob] = [newSigner('alice'), newSigner('bob')];

/** A repository with a backup of each of five days, and a plan that keeps the newest of them. */
async function stage(folder: string, atOnce: number): Promise<string> {
  const repository = path.join(folder, 'repository');
  await mkdir(repository);
  const store = new DirectoryStore(repository);
  for (const day of DAYS) {
    const ref = { plan: 'orders', backup: backupOf(day) };
    await writeSampleBackup(store, { epoch: 1, chunks: 1 }, ref, `2026-11-${day}T02:00:01.000Z`);
  }
  for (const [name, { file }] of Object.entries({ alice, bob }))
    await writeFile(path.join(folder, name), file, { mode: 0o600 });
  const plan = path.join(folder, 'orders.yaml');
  await writeFile(
    plan,
    `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec:
  directory: ${repository}
  deletion: { approvers: ["${alice.publicLine}", "${bob.publicLine}"], atOnce: ${atOnce} }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: orders }
spec:
  source: { ysql: { connection: { env: ORDERS_URL } } }
  repository: main
  retention: { keepLast: 1 }
`,
  );
  return plan;
}

async function fatesIn(folder: string, plan: string): Promise<readonly string[]> {
  const { stdout } = await holdfastIn(folder, 'prune', plan, '--dry-run', '--json');
  return JSON.parse(stdout).backups.map(({ fate }: { readonly fate: string }) => fate);
}

const approveDropped = (folder: string, plan: string, key: string) =>
  holdfastIn(folder, 'delete', plan, '--dropped', '--approve', '--key', key);

/** What a prune deletes because it was approved. */
async function deletedBy(folder: string, plan: string): Promise<readonly string[]> {
  const { plans } = await compilePlanFiles([plan]);
  const [compiled] = plans;
  if (compiled === undefined) throw new Error('the plan does not compile');
  const { signal } = new AbortController();
  const pruning = {
    store: new DirectoryStore(path.join(folder, 'repository')),
    signal,
    heartbeat: () => undefined,
    holdLease: async () => undefined,
    now: new Date(),
  };
  const { verdicts } = await judgeByStorage(pruning.store, pruneInputOf(compiled));
  const isLive = async () => false;
  const done = await deleteApproved(pruning, pruneInputOf(compiled), { verdicts, isLive });
  return done.flatMap(({ backup, ended }) => (ended.outcome === 'deleted' ? [backup] : []));
}

test('retention that would drop more than `deletion.atOnce` drops none until one asks and another approves', () =>
  withScratchFolder(async (folder) => {
    const plan = await stage(folder, 3);
    expect(await fatesIn(folder, plan)).toEqual(['keep', 'ask', 'ask', 'ask', 'ask']);
    const approvedTooEarly = await approveDropped(folder, plan, 'bob');
    expect(approvedTooEarly).toMatchObject({ code: 1 });
    expect(approvedTooEarly.stderr).toContain('Nobody who may has asked');

    const asked = await holdfastIn(
      folder,
      ...['delete', plan, '--dropped', '--reason', 'we keep one', '--key', 'alice'],
    );
    expect(asked).toMatchObject({ code: 0, stderr: '' });
    expect(asked.stdout).toContain('holdfast delete orders --dropped --approve --key FILE');
    const own = await approveDropped(folder, plan, 'alice');
    expect(own.stderr).toContain('can’t approve it');
    expect(await deletedBy(folder, plan)).toEqual([]);

    const approved = await holdfastIn(
      folder,
      ...['delete', plan, '--dropped', '--approve', '--key', 'bob', '--json'],
    );
    expect(JSON.parse(approved.stdout).deletions).toHaveLength(4);
    const again = await approveDropped(folder, plan, 'bob');
    expect(again.stdout).toBe('Nothing is left to ask for or to approve by this key.\n');
    expect([...(await deletedBy(folder, plan))].sort()).toEqual(DAYS.slice(0, 4).map(backupOf));
    expect(await fatesIn(folder, plan)).toEqual(['keep']);
  }));

test('what retention may drop at once it drops without asking', () =>
  withScratchFolder(async (folder) => {
    const plan = await stage(folder, 4);
    expect(await fatesIn(folder, plan)).toEqual(['keep', 'mark', 'mark', 'mark', 'mark']);
    const nothing = await approveDropped(folder, plan, 'bob');
    expect(nothing.stderr).toContain('drops no backup that must be approved');
    const both = await holdfastIn(folder, 'delete', plan, backupOf('19'), '--dropped', '--approve');
    expect(both).toMatchObject({ code: 2 });
  }));

test('a slip that is mended after the approval deletes nothing, and what was asked for can be given up', () =>
  withScratchFolder(async (folder) => {
    const plan = await stage(folder, 3);
    await holdfastIn(folder, ...['delete', plan, '--dropped', '--reason', 'we keep one', '--key', 'alice']);
    await approveDropped(folder, plan, 'bob');
    await writeFile(plan, (await readFile(plan, 'utf8')).replace('keepLast: 1', 'keepLast: 300'));
    expect(await deletedBy(folder, plan)).toEqual([]);
    const withdrawn = await holdfastIn(folder, 'delete', plan, '--dropped', '--withdraw');
    expect(withdrawn).toMatchObject({ code: 0 });
    expect(withdrawn.stdout.match(/is given up/g)).toHaveLength(4);
    await writeFile(plan, (await readFile(plan, 'utf8')).replace('keepLast: 300', 'keepLast: 1'));
    expect(await deletedBy(folder, plan)).toEqual([]);
  }));

test('each of two approvers asks for some of them, and approves those of the other', () =>
  withScratchFolder(async (folder) => {
    const plan = await stage(folder, 3);
    await holdfastIn(folder, ...['delete', plan, backupOf('19'), '--reason', 'by its id', '--key', 'bob']);
    await holdfastIn(folder, ...['delete', plan, '--dropped', '--reason', 'the rest', '--key', 'alice']);
    const byAlice = await approveDropped(folder, plan, 'alice');
    expect(byAlice.stdout).toContain(backupOf('19'));
    const byBob = await holdfastIn(
      folder,
      'delete',
      plan,
      '--dropped',
      '--approve',
      '--key',
      'bob',
      '--json',
    );
    expect(JSON.parse(byBob.stdout).deletions).toHaveLength(3);
    expect(await deletedBy(folder, plan)).toHaveLength(4);
  }));
