import type { BackupSummary, RestoreSummary } from '../../../model/backup.ts';
import { startHoldfast } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import type { UniverseOptions } from '../launcher.ts';
import { fill } from './contents.ts';
import { contentsOf, leftBehind, plainBackup } from './outcome.ts';
import { type Elsewhere, type Stage, startElsewhere, startStage } from './stage.ts';

/** Restores into another universe than the backup's, with an agent killed on the way. All of them with HOLDFAST_UNIVERSE_FAULTS=all. */
const whole = process.env.HOLDFAST_UNIVERSE_FAULTS === 'all' ? test : test.skip;

let stage: Stage;
let backup: BackupSummary;
let contents: string;
beforeAll(async () => {
  stage = await startStage({ tservers: 4, replicationFactor: 3 });
  await fill(stage.universe);
  contents = await contentsOf(stage.universe, 'shop', 'metrics');
  backup = await plainBackup(stage);
});
afterAll(() => stage.stop());

async function within(options: UniverseOptions, work: (elsewhere: Elsewhere) => Promise<void>) {
  const elsewhere = await startElsewhere(stage, options);
  try {
    await work(elsewhere);
  } finally {
    await elsewhere.stop();
  }
}

/** Under the names that they had; the last node's agent is killed as soon as there is something to fetch. */
async function restoreInto({ universe, agents, planFile }: Elsewhere, from: string): Promise<void> {
  const into = ['--into', 'shop=shop', '--into', 'metrics=metrics'];
  const restore = startHoldfast(
    ['restore', planFile, '--backup', from, ...into, '--json'],
    stage.environment,
  );
  let isOver = false;
  const ended = restore.end.finally(() => {
    isOver = true;
  });
  await eventually(
    'snapshots are imported',
    async () => isOver || (await universe.view()).snapshots.length === 2,
  );
  const agent = agents.at(-1);
  await agent?.kill9();
  await agent?.restart();
  const { code, stdout, stderr } = await ended;
  if (code !== 0) throw new Error(`${stdout}\n${stderr}`);
  const { problems, rows } = JSON.parse(stdout) as RestoreSummary;
  expect({ problems, rows }).toEqual({ problems: [], rows: 1_200 });
  expect(await contentsOf(universe, 'shop', 'metrics')).toBe(contents);
  expect(await leftBehind({ ...stage, universe })).toEqual([]);
}

/** How many replicas the tablets have, and how many tablet servers died. */
async function replicasIn({ universe }: Elsewhere) {
  const { tablets, tservers } = await universe.view();
  return {
    replicas: [...new Set(tablets.map(({ replicas }) => replicas.length))],
    dead: tservers.filter(({ alive }) => !alive).length,
  };
}

test('a backup of three replicas is restored onto one node with one, and the backup of that onto five nodes with five', async () => {
  let ofOne = '';
  await within({ tservers: 1, replicationFactor: 1 }, async (one) => {
    await restoreInto(one, backup.backup);
    expect(await replicasIn(one)).toEqual({ replicas: [1], dead: 0 });
    ofOne = (await stage.json<BackupSummary>('backup', one.planFile)).backup;
  });
  await within({ tservers: 5, replicationFactor: 5 }, async (five) => {
    await restoreInto(five, ofOne);
    expect(await replicasIn(five)).toEqual({ replicas: [5], dead: 0 });
  });
});

whole('onto five replicas, on seven nodes', () =>
  within({ tservers: 7, replicationFactor: 5 }, async (seven) => {
    await restoreInto(seven, backup.backup);
    expect(await replicasIn(seven)).toEqual({ replicas: [5], dead: 0 });
  }),
);

whole('onto more nodes, with read replicas', () =>
  within({ tservers: 5, replicationFactor: 3, readReplicas: 2 }, async (more) => {
    await restoreInto(more, backup.backup);
    expect(await replicasIn(more)).toEqual({ replicas: [5], dead: 0 });
  }),
);

whole('onto fewer nodes', () =>
  within({ tservers: 3, replicationFactor: 3 }, async (fewer) => {
    await restoreInto(fewer, backup.backup);
    expect(await replicasIn(fewer)).toEqual({ replicas: [3], dead: 0 });
  }),
);
