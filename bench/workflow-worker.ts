/** The workflow worker of `bench/simulation.ts`, in a separate process so that its memory can be measured. Arguments: ADDRESS QUEUE */
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { workflowBundle } from '../worker/bundle.ts';
import { boundGarbage } from '../worker/garbage.ts';

const [address, taskQueue] = process.argv.slice(2);
if (address === undefined || taskQueue === undefined) throw new Error('give the address and the task queue');
Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: { core: 'ERROR', other: 'ERROR' } } },
});
boundGarbage();
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue,
  workflowBundle: await workflowBundle(),
  maxCachedWorkflows: 100,
});
process.send?.('ready');
await worker.run();
