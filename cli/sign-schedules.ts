import type { Client } from '@temporalio/client';

/** Writes every schedule again, unchanged, so that its input gets this client's signature (`worker/signing.ts`). */
export async function signSchedules(client: Client): Promise<void> {
  for await (const { scheduleId } of client.schedule.list()) {
    await client.schedule
      .getHandle(scheduleId)
      .update(({ action, spec, policies, state }) => ({ action, spec, policies, state }));
  }
}
