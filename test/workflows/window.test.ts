import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { Activities } from '../../activities/contract.ts';
import { DAY_MS, HOUR_MS } from '../../model/time.ts';
import type { TransferWindow } from '../../model/transfer-window.ts';
import { type BackupInput, type BackupOutcome, progress } from '../../workflows/messages.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, CAPTURE, capture, pipelineOf, startBench } from './scripted-worker.ts';

let bench: Bench;
let runs = 0;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

/** A window of these spans, each from and to so many milliseconds from now. */
function windowFromNow(...spans: readonly (readonly [number, number])[]): TransferWindow {
  const now = Math.floor(Date.now() / 1_000) * 1_000;
  const ofDay = (ms: number): number => (now + ms) % DAY_MS;
  return { spans: spans.map(([from, to]) => ({ fromMs: ofDay(from), toMs: ofDay(to) })), timezone: 'UTC' };
}

const start = (window: TransferWindow) => {
  const backup = `w${++runs}`;
  const input: BackupInput = { pipeline: pipelineOf(CAPTURE), backup, window };
  return bench.client.workflow.start('backup', {
    workflowId: `backup:orders:${backup}`,
    taskQueue: bench.taskQueue,
    args: [input],
  });
};

/** Uploads that take a while, and how many of them have begun and ended. */
function slowly(tasks: number, eachMs: number) {
  const usual = capture(tasks);
  const counted = {
    begun: 0,
    ended: 0,
    activities: {
      ...usual,
      upload: async (input: Parameters<Activities['upload']>[0]) => {
        counted.begun += 1;
        await sleep(eachMs);
        counted.ended += 1;
        return usual.upload(input);
      },
    } satisfies Partial<Activities>,
  };
  return counted;
}

const PAUSED = /^paused until \d\d:\d\d UTC by its window$/;

/** How many uploads had begun when the transfer was seen paused. Undefined where it ended without. */
async function begunWhenPaused(
  handle: WorkflowHandle,
  uploads: { readonly begun: number },
): Promise<number | undefined> {
  for (;;) {
    const { begun } = uploads;
    const { paused, headline } = await handle.query(progress);
    if (paused !== undefined && PAUSED.test(paused) && headline.includes(paused)) return begun;
    if ((await handle.describe()).status.name !== 'RUNNING') return undefined;
    await sleep(50);
  }
}

describe.each([
  ['in the backup itself', 4, 1_500],
  ['in a child', 60, 100],
])('a transfer %s', (_, tasks, eachMs) => {
  test('begins no chunk after its window has closed, says so, and goes on when it opens', async () => {
    // On a machine that is slow enough the run may begin or end beside the closed time. Then it is tried again with longer times.
    for (let slower = 1; ; slower *= 2) {
      const uploads = slowly(tasks, eachMs * slower);
      const wasPaused = await bench.withActivities(uploads.activities, async () => {
        const closed = windowFromNow([-60_000, 2_000 * slower], [9_000 * slower, 8 * HOUR_MS]);
        const handle = await start(closed);
        const begun = await begunWhenPaused(handle, uploads);
        const { summary } = (await handle.result()) as BackupOutcome;
        expect(summary.rows).toBe(tasks * 10);
        expect(uploads.begun).toBe(tasks);
        expect(await handle.query(progress)).not.toHaveProperty('paused');
        if (begun !== undefined) expect(begun).toBeLessThan(tasks);
        return begun !== undefined;
      });
      if (wasPaused) return;
    }
  });

  test('stays paused while its window is closed, and can be cancelled there', async () => {
    const uploads = slowly(tasks, eachMs);
    let cleaned = false;
    const activities: Partial<Activities> = {
      ...uploads.activities,
      cleanUp: async () => {
        cleaned = true;
        return { removedObjects: 0 };
      },
    };
    await bench.withActivities(activities, async () => {
      const handle = await start(windowFromNow([-60_000, 2_000]));
      await eventually(
        'the transfer pauses',
        async () => (await handle.query(progress)).paused !== undefined,
      );
      await eventually('what had begun has ended', async () => uploads.ended === uploads.begun);
      const { begun } = uploads;
      await sleep(1_500);
      expect(uploads.begun).toBe(begun);
      expect(begun).toBeLessThan(tasks);
      await handle.cancel();
      await expect(handle.result()).rejects.toThrow();
      expect(cleaned).toBe(true);
    });
  });
});

test('a backup that begins outside of its window takes no read point before it opens', async () => {
  const uploads = slowly(2, 0);
  let pinned = 0;
  const usual = capture(2);
  const activities: Partial<Activities> = {
    ...uploads.activities,
    snapshot: async (input) => {
      pinned = Date.now();
      return usual.snapshot(input);
    },
  };
  await bench.withActivities(activities, async () => {
    const opensAtMs = Math.floor(Date.now() / 1_000) * 1_000 + 5_000;
    const handle = await start(windowFromNow([5_000, 8 * HOUR_MS]));
    await handle.result();
    expect(pinned).toBeGreaterThanOrEqual(opensAtMs);
  });
});
