import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { asActivity } from '../../activities/run-activity.ts';

/** As long as four beats, and more, of `BEAT_EVERY_MS`. */
const QUIET_MS = 4_500;

async function beatsOf(
  body: Parameters<typeof asActivity>[0],
  heartbeatDetails?: object,
): Promise<readonly unknown[]> {
  const environment = new MockActivityEnvironment({ heartbeatDetails });
  const beats: unknown[] = [];
  environment.on('heartbeat', (details: unknown) => beats.push(details));
  await environment.run(() => asActivity(body));
  return beats;
}

test('a verb that is quiet for long beats each second, with the progress it reported last', async () => {
  const beats = await beatsOf(async (verb) => {
    verb.heartbeat({ chunk: 'c7', bytes: 10 });
    await sleep(QUIET_MS);
  });
  expect(beats.length).toBeGreaterThanOrEqual(4);
  expect(new Set(beats.map((beat) => JSON.stringify(beat)))).toEqual(
    new Set([JSON.stringify({ chunk: 'c7', bytes: 10 })]),
  );
});

test('a verb that reports nothing beats too, and keeps what the attempt before it had reported', async () => {
  const before = { task: 3, rows: 12 };
  const beats = await beatsOf(() => sleep(QUIET_MS), before);
  expect(beats.length).toBeGreaterThanOrEqual(4);
  for (const beat of beats) expect(beat).toEqual(before);
});

test('nothing beats any more when the verb has ended', async () => {
  const beats = await beatsOf(async () => undefined);
  await sleep(2_500);
  expect(beats).toEqual([]);
});
