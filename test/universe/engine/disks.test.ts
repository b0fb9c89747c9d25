import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { BackupSummary } from '../../../model/backup.ts';
import { freePort } from '../../../parts/ports.ts';
import { startServer } from '../../../parts/process.ts';
import { startHoldfast } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { fill } from './contents.ts';
import { contentsOf, leftBehind, plainBackup } from './outcome.ts';
import { type Elsewhere, type Stage, startElsewhere, startStage } from './stage.ts';

/** Disks of one node that are full or read-only: real mounts, which only root can make, on Linux. With HOLDFAST_UNIVERSE_FAULTS=all. */
const whole = process.env.HOLDFAST_UNIVERSE_FAULTS === 'all';
const withMounts =
  whole && process.platform === 'linux' && process.getuid?.() === 0 ? describe : describe.skip;

const mount = (...args: readonly string[]) => promisify(execFile)('mount', args);

withMounts('on one node', () => {
  let stage: Stage;
  let backup: BackupSummary;
  let contents: string;
  let elsewhere: Elsewhere;
  let disk: string;
  beforeAll(async () => {
    stage = await startStage();
    await fill(stage.universe);
    contents = await contentsOf(stage.universe, 'shop', 'metrics');
    backup = await plainBackup(stage);
    elsewhere = await startElsewhere(stage, { tservers: 1, replicationFactor: 1, dataDirectories: 1 });
    const [node] = elsewhere.universe.tservers;
    disk = path.join(node?.dataDirectories[0] ?? '', 'yb-data/tserver/data/rocksdb');
    await mount('-t', 'tmpfs', '-o', 'size=16m', 'holdfast-test', disk);
  });
  afterAll(async () => {
    await promisify(execFile)('umount', ['--lazy', disk]);
    await elsewhere.stop();
    await stage.stop();
  });
  const into = ['--into', 'shop=shop', '--into', 'metrics=metrics'];
  const addressOf = (universe: Stage['universe'], index: number) => universe.tservers[index]?.address ?? '';

  test('a repository that may not be written is told with the node that it is so on', async () => {
    const { universe, agents, environment, folder } = stage;
    const repository = path.join(folder, 'repository');
    const address = addressOf(universe, 1);
    await agents[1]?.stop();
    const health = await freePort();
    // In a world of mounts of its own, where the repository is mounted read-only.
    const script = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" cli/main.ts worker --tserver "$3" --health "$4"`;
    const restricted = await startServer({
      name: `restricted agent ${address}`,
      command: 'unshare',
      args: ['-m', 'sh', '-c', script, 'sh', repository, process.execPath, address, String(health)],
      inherits: 'everything',
      environment,
      logFile: path.join(folder, 'restricted.log'),
      startupTimeoutMs: 180_000,
      checkReady: async () => void (await fetch(`http://127.0.0.1:${health}/`)),
    });
    // Something new, so that every agent has something to send.
    await universe.act({ do: 'sql', database: 'shop', statement: 'UPDATE orders SET note = note' });
    const { code, stdout } = await stage.run('backup', stage.planFile, '--json');
    await restricted.stop();
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string; remedy: string } };
    expect({ code, error: error.code }).toEqual({ code: 1, error: 'STORE_DENIED' });
    expect(error.message).toContain(`On the node of ${address}`);
    expect(error.message).toContain('read-only');
    await agents[1]?.restart();
    await plainBackup(stage);
    await expect(leftBehind(stage)).resolves.toEqual([]);
  });

  test('a data directory that may not be written keeps a restore from beginning', async () => {
    const { planFile, universe } = elsewhere;
    await mount('-o', 'remount,ro', disk);
    const { code, stdout } = await stage.run(
      ...['restore', planFile, '--backup', backup.backup, ...into, '--json'],
    );
    await mount('-o', 'remount,rw', disk);
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
    expect({ code, error: error.code }).toEqual({ code: 1, error: 'RESTORE_NODES_NOT_READY' });
    expect(error.message).toContain(addressOf(universe, 0));
    expect(error.message).toContain('EROFS');
    expect((await universe.view()).snapshots).toEqual([]);
  });

  test('a disk that gets full is told while the restore waits, which goes on when there is room', async () => {
    const { planFile, universe } = elsewhere;
    // Room for folders, which need none, but for no files.
    await mount('-o', 'remount,size=4k', disk);
    const restore = startHoldfast(
      ['restore', planFile, '--backup', backup.backup, ...into],
      stage.environment,
    );
    await eventually('it is told that the disk is full', async () => {
      if (restore.child.exitCode !== null) throw new Error(restore.output() + restore.progress());
      return /On the node of \S+: ENOSPC/.test(restore.progress());
    });
    expect(restore.progress()).toContain(addressOf(universe, 0));
    await mount('-o', 'remount,size=64m', disk);
    const { code, stdout, stderr } = await restore.end;
    if (code !== 0) throw new Error(`${stdout}\n${stderr}`);
    expect(await contentsOf(universe, 'shop', 'metrics')).toBe(contents);
  });
});
