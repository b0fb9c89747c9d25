import { readFileSync } from 'node:fs';
import path from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { logLines } from '../../cli/logs/log-lines.ts';
import { describeHistory, type RunEvent } from '../../library/logs/run-events.ts';

/** Histories that a released version recorded, as sentences. */
function told(name: string) {
  const file = path.join(import.meta.dirname, `../replay/histories/0.1.0/${name}.json`);
  return describeHistory(name, historyFromJSON(JSON.parse(readFileSync(file, 'utf8'))));
}

test('a failed backup: its stages, what failed and why, what was cleaned up, its end', () => {
  const { events, parts } = told('backup-that-fails');
  expect(parts.map(({ workflowId }) => workflowId)).toEqual(['backup:backup-that-fails:upload:e1:0']);
  expect(events[0]).toMatchObject({ kind: 'began', text: expect.stringMatching(/^backup began on /) });
  expect(events.filter(({ kind }) => kind === 'stage').map(({ text }) => text)).toEqual(
    expect.arrayContaining(['snapshot', 'export', 'upload']),
  );
  const failures = events.filter(({ kind }) => kind === 'failed');
  expect(failures).toHaveLength(1);
  expect(failures[0]?.text).toContain('There is no bucket x. Create it.');
  expect(events.some(({ activity, kind }) => activity === 'cleanUp' && kind === 'done')).toBe(true);
  expect(events.at(-1)).toMatchObject({ kind: 'ended', text: expect.stringMatching(/^failed after .*: /) });
  // In order, and each with its instant.
  expect(events.map(({ at }) => at)).toEqual(events.map(({ at }) => at).toSorted());
});

test('an attempt that failed, as Temporal notes it', () => {
  const { events } = describeHistory(
    'run',
    historyFromJSON({
      events: [
        {
          eventId: '5',
          eventTime: '1970-01-01T00:00:00Z',
          activityTaskScheduledEventAttributes: { activityType: { name: 'upload' } },
        },
        {
          eventId: '6',
          eventTime: '1970-01-01T00:00:09Z',
          activityTaskStartedEventAttributes: {
            scheduledEventId: '5',
            attempt: 3,
            lastFailure: {
              message: 'Activity task failed',
              cause: { message: 'the bucket is busy', applicationFailureInfo: { type: 'STORE_BUSY' } },
            },
          },
        },
        {
          eventId: '7',
          eventTime: '1970-01-01T00:00:10Z',
          activityTaskCompletedEventAttributes: { scheduledEventId: '5' },
        },
      ],
    }),
  );
  expect(events).toEqual([
    {
      at: '1970-01-01T00:00:09.000Z',
      workflowId: 'run',
      kind: 'retry',
      activity: 'upload',
      attempt: 3,
      code: 'STORE_BUSY',
      text: 'upload failed 2 times and was tried again: the bucket is busy',
    },
    {
      at: '1970-01-01T00:00:10.000Z',
      workflowId: 'run',
      kind: 'done',
      activity: 'upload',
      attempt: 3,
      text: 'upload done in 10.0 s, attempt 3',
    },
  ]);
});

test('lines for people: the date once, parts indented, many alike on one line, nothing of them lost', () => {
  const event = (second: number, more: Partial<RunEvent>): RunEvent => ({
    at: `2026-11-30T07:00:${String(second).padStart(2, '0')}.000Z`,
    workflowId: 'root',
    kind: 'done',
    text: 'upload done in 1 s',
    activity: 'upload',
    ...more,
  });
  const lines = logLines('root', [
    event(0, { kind: 'began', text: 'backup began on q' }),
    ...[1, 2, 3, 4, 5].map((second) => event(second, { workflowId: 'part' })),
    event(6, { workflowId: 'part', attempt: 2, text: 'upload done in 9 s, attempt 2' }),
    event(7, {}),
    event(8, { kind: 'ended', text: 'done in 8 s' }),
  ]);
  expect(lines).toEqual([
    '2026-11-30 (UTC)',
    '  07:00:00.000  ▶ backup began on q',
    '  07:00:05.000    ✔ upload: 5 done',
    '  07:00:06.000    ✔ upload done in 9 s, attempt 2',
    '  07:00:07.000  ✔ upload done in 1 s',
    '  07:00:08.000  ● done in 8 s',
  ]);
});
