import type { Client } from '@temporalio/client';

/** Writes every schedule again as it is, so that what it starts carries the signature of this client (`worker/signing.ts`). */
export async function signSchedules(client: Client): Promise<void> {
  for await (const { scheduleId } of client.schedule.list()) {
    await client.schedule
      .getHandle(scheduleId)
      .update(({ action, spec, policies, state }) => ({ action, spec, policies, state }));
  }
}
