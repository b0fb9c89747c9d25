import { startTemporal } from '../../parts/temporal.ts';
import { connectClient } from '../../worker/connection.ts';

test('a call that nobody waits for any more ends with its connection, not the process with it', async () => {
  const temporal = await startTemporal({ headless: true });
  const { client, connection } = await connectClient(temporal.address);
  const handle = await client.workflow.start('nobody', { workflowId: 'endless', taskQueue: 'nobody' });
  const answer = handle.result().catch((error: unknown) => error);
  await handle.describe();
  await connection.close();
  await temporal.stop();
  expect(await answer).toMatchObject({
    cause: { details: expect.stringContaining('the connection is closed') },
  });
});
