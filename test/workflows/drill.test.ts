import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/contract.ts';
import type { RestoreRequest, VerifyReport } from '../../model/backup.ts';
import type { DrillInput, DrillOutcome, DrillSpec } from '../../model/drill.ts';
import type { Catalogue, CatalogueEntry } from '../../model/recovery.ts';
import { type Bench, pipelineOf, restoring, startBench } from './scripted-worker.ts';

let bench: Bench;
let runs = 0;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const { source, repository } = pipelineOf([]);
const ASSERTIONS: DrillSpec['assertions'] = [
  { name: 'there are orders', sql: 'SELECT count(*) FROM orders', expect: { kind: 'range', min: 1 } },
  { name: 'no order is lost', sql: 'SELECT 1', expect: { kind: 'value', value: 1 } },
];

function entry(backup: string, instant: string): CatalogueEntry {
  return { backup, instant, completedAt: instant, rows: 1, bytes: 1, storedBytes: 1, contents: 'all' };
}

const CATALOGUE: Catalogue = {
  plan: 'orders',
  repository: 'main',
  entries: [
    entry('b3', '2026-11-23T03:00:00Z'),
    entry('b2', '2026-11-22T03:00:00Z'),
    entry('b1', '2026-11-21T03:00:00Z'),
  ],
  unusable: 0,
  total: 3,
  readAt: '2026-11-23T04:00:00Z',
};

interface Told {
  readonly outcome: DrillOutcome;
  readonly recorded: readonly VerifyReport[];
  readonly discarded: readonly RestoreRequest[];
}

async function drill(
  activities: Partial<Activities>,
  spec: Partial<DrillSpec> = {},
  input: Partial<DrillInput> = {},
): Promise<Told> {
  const recorded: VerifyReport[] = [];
  const discarded: RestoreRequest[] = [];
  const scripted = restoring({
    catalogue: async () => CATALOGUE,
    clearRehearsals: async () => ({ cleared: [], problems: [] }),
    ask: async ({ request, assertion }) => ({
      name: request.assertions?.[assertion]?.name ?? '',
      verdict: 'OK',
    }),
    recordVerification: async ({ report }) => void recorded.push(report),
    discardRestore: async ({ request }) => void discarded.push(request),
    ...activities,
  });
  const full: DrillInput = {
    plan: 'orders',
    labels: {},
    source,
    repository,
    drill: {
      backup: 'latest',
      check: 'content',
      assertions: ASSERTIONS,
      parallelism: 2,
      timeoutMs: 3_600_000,
      ...spec,
    },
    ...input,
  };
  const outcome: DrillOutcome = await bench.withActivities(scripted, () =>
    bench.client.workflow.execute('drill', {
      workflowId: `drill:orders:${++runs}`,
      taskQueue: bench.taskQueue,
      args: [full],
    }),
  );
  return { outcome, recorded, discarded };
}

test('the newest backup is restored, compared, asked, dropped, and the verdict is in the ledger with its time', async () => {
  const { outcome, recorded, discarded } = await drill({});
  expect(outcome).toMatchObject({ backup: 'b3', verdict: 'OK', problems: [], restoreMs: expect.any(Number) });
  expect(outcome.assertions.map(({ name }) => name)).toEqual(['there are orders', 'no order is lost']);
  expect(recorded).toMatchObject([
    { backup: 'b3', level: 'restore', verdict: 'OK', drill: { restoreMs: outcome.restoreMs } },
  ]);
  expect(discarded).toMatchObject([{ scratch: true, check: 'content' }]);
});

test('the assertions are asked after the comparison and before the copy is dropped', async () => {
  const order: string[] = [];
  await drill({
    ask: async ({ assertion }) => {
      order.push(`ask ${assertion}`);
      return { name: '', verdict: 'OK' };
    },
    discardRestore: async () => void order.push('drop'),
  });
  expect(order).toEqual(['ask 0', 'ask 1', 'drop']);
});

test.each([
  ['FAILED', 'FAILED'],
  ['INCONCLUSIVE', 'INCONCLUSIVE'],
] as const)('an assertion that is %s makes the drill %s, and is named', async (verdict, expected) => {
  const { outcome, recorded } = await drill({
    ask: async ({ request, assertion }) => ({
      name: request.assertions?.[assertion]?.name ?? '',
      verdict: assertion === 1 ? verdict : 'OK',
      ...(assertion === 1 ? { problem: 'expected 1, and got 0' } : {}),
    }),
  });
  expect(outcome).toMatchObject({
    verdict: expected,
    problems: [expect.stringMatching(/"no order is lost" .*expected 1, and got 0/)],
  });
  expect(recorded[0]?.verdict).toBe(expected);
});

test('an assertion that can’t be run however often it is tried is inconclusive, and the others are asked', async () => {
  const { outcome } = await drill({
    ask: async ({ assertion }) => {
      if (assertion === 0) throw ApplicationFailure.nonRetryable('the server went away', 'YSQL_UNAVAILABLE');
      return { name: 'no order is lost', verdict: 'OK' };
    },
  });
  expect(outcome).toMatchObject({
    verdict: 'INCONCLUSIVE',
    assertions: [{ verdict: 'INCONCLUSIVE', problem: 'the server went away' }, { verdict: 'OK' }],
  });
});

test.each([
  ['damaged data', 'STORE_DAMAGED', 'FAILED'],
  ['no room for the copy', 'TARGET_FULL', 'INCONCLUSIVE'],
])('a drill that stops on %s is %s → %s', async (_what, type, verdict) => {
  const { outcome, discarded } = await drill({
    load: async () => {
      throw ApplicationFailure.create({ message: 'stopped', type, nonRetryable: true });
    },
  });
  expect(outcome).toMatchObject({ verdict, problems: ['stopped'], assertions: [] });
  expect(discarded).toHaveLength(1);
});

test('a drill that takes too long is inconclusive, says so, and drops what it created', async () => {
  const { outcome, discarded } = await drill(
    {
      planRestore: async () => {
        throw ApplicationFailure.create({ message: 'no server answers', type: 'YSQL_UNAVAILABLE' });
      },
    },
    { timeoutMs: 2_000 },
  );
  expect(outcome).toMatchObject({
    verdict: 'INCONCLUSIVE',
    problems: [expect.stringContaining('did not end within')],
  });
  expect(discarded.length).toBeGreaterThan(0);
});

test('a scratch copy that could not be dropped at first is dropped in the end, after the verdict is recorded', async () => {
  const order: string[] = [];
  let tries = 0;
  await drill({
    load: async () => {
      throw ApplicationFailure.nonRetryable('stopped', 'TARGET_FULL');
    },
    discardRestore: async () => {
      if (++tries === 1) throw ApplicationFailure.nonRetryable('the server is away', 'YSQL_UNAVAILABLE');
      order.push('dropped');
    },
    recordVerification: async () => void order.push('recorded'),
  });
  expect(order).toEqual(['recorded', 'dropped']);
});

test('a plan without a backup gives no verdict on any: inconclusive, and nothing in the ledger', async () => {
  const { outcome, recorded } = await drill({
    catalogue: async () => ({ ...CATALOGUE, entries: [], total: 0 }),
  });
  expect(outcome).toMatchObject({
    verdict: 'INCONCLUSIVE',
    problems: ['the repository main holds no backup of orders'],
  });
  expect(recorded).toEqual([]);
});

test('a backup that is named is restored without a look at the others', async () => {
  const unreachable = async () => {
    throw ApplicationFailure.nonRetryable('never asked', 'NEVER');
  };
  const { outcome } = await drill({ catalogue: unreachable }, {}, { backup: 'b1' });
  expect(outcome).toMatchObject({ backup: 'b1', verdict: 'OK' });
});

test('what terminated drills left is dropped first; where that fails, the drill goes on', async () => {
  const order: string[] = [];
  const left = await drill({
    clearRehearsals: async () => {
      order.push('cleared');
      throw ApplicationFailure.nonRetryable('the repository is away', 'STORE_UNAVAILABLE');
    },
    prepareRestore: async () => void order.push('prepared'),
  });
  expect(left.outcome.verdict).toBe('OK');
  expect(order).toEqual(['cleared', 'prepared']);
});

test('random drills come to all backups, each by the workflow’s own dice', async () => {
  const chosen = new Set<string | undefined>();
  // 40 drills miss one of three backups once in two million times.
  for (let n = 0; n < 40 && chosen.size < 3; n++) {
    const { outcome } = await drill({}, { backup: 'random', assertions: [] });
    chosen.add(outcome.backup);
  }
  expect([...chosen].sort()).toEqual(['b1', 'b2', 'b3']);
});

describe('of a plan with an archive of changes', () => {
  const WISH = {
    ...{ base: 'b1', against: 'b2', fromMicros: 1_000_000, toMicros: 2_000_000 },
    to: '1970-01-01T00:00:02.000000Z',
    timelines: { shop: 't1' },
  };
  const proofs: { verdict: string; problems: readonly string[] }[] = [];
  const proving = (changes: Partial<Activities> = {}): Partial<Activities> => ({
    planProof: async () => WISH,
    recordProof: async ({ verdict, problems }) => void proofs.push({ verdict, problems }),
    replay: async ({ database }) => ({
      ...{ database, timeline: 't1', to: WISH.to, segments: 1, transactions: 1, changes: 1 },
      ...{ notArchived: [], sequences: [] },
    }),
    ...changes,
  });
  beforeEach(() => proofs.splice(0));

  test('the stretch that comes next is replayed into scratch, compared with the later backup, and recorded', async () => {
    const asked: RestoreRequest[] = [];
    const { outcome, discarded } = await drill(
      proving({ prepareRestore: async ({ request }) => void asked.push(request) }),
      { assertions: [] },
      { archive: true },
    );
    expect(outcome).toMatchObject({ verdict: 'OK', proof: { verdict: 'OK', base: 'b1', against: 'b2' } });
    expect(proofs).toEqual([{ verdict: 'OK', problems: [] }]);
    expect(asked[1]).toMatchObject({
      ...{ scratch: true, check: 'content', from: { backup: 'b1' } },
      replay: { to: WISH.to, timelines: WISH.timelines, proves: 'b2' },
    });
    expect(discarded).toHaveLength(2);
  });

  test.each([
    ['REPLAY_DIFFERS', 'FAILED', ['FAILED']],
    ['STORE_DAMAGED', 'INCONCLUSIVE', []],
    ['REPLAY_PRIVILEGE', 'INCONCLUSIVE', []],
  ])(
    'a replay that ends with %s makes the drill %s, and what is recorded: %j',
    async (code, verdict, recorded) => {
      const { outcome, recorded: reports } = await drill(
        proving({
          replay: async () => {
            throw ApplicationFailure.nonRetryable('backups/orders/b1 does not fit', code);
          },
        }),
        { assertions: [] },
        { archive: true },
      );
      expect(outcome).toMatchObject({ verdict, proof: { verdict } });
      expect(outcome.problems.join()).toMatch(/does not fit/);
      expect(proofs.map((proof) => proof.verdict)).toEqual(recorded);
      // The drilled backup is good, whatever the archive is.
      expect(reports.map((report) => report.verdict)).toEqual(['OK']);
    },
  );

  test('nothing to prove changes no verdict, and a repository that cannot be asked makes it inconclusive', async () => {
    const nothing = await drill(
      proving({ planProof: async () => ({ reason: 'all is proved' }) }),
      {},
      { archive: true },
    );
    expect(nothing.outcome).toMatchObject({ verdict: 'OK', problems: [] });
    expect(nothing.outcome).not.toHaveProperty('proof');
    const away = await drill(
      proving({
        planProof: async () => {
          throw ApplicationFailure.nonRetryable('no bucket', 'STORE_NO_BUCKET');
        },
      }),
      {},
      { archive: true },
    );
    expect(away.outcome).toMatchObject({
      verdict: 'INCONCLUSIVE',
      problems: [expect.stringMatching(/could not be looked at: no bucket/)],
    });
  });
});
