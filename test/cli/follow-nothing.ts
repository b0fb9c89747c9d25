/** Follows a run at a Temporal that answers nothing at all, is interrupted in the midst of a question, and prints how that ended. */
import type { WorkflowHandle } from '@temporalio/client';
import { follow } from '../../cli/follow.ts';
import { runHandle } from '../../library/run-handle.ts';

const nothing = () => new Promise<never>(() => undefined);
let asked = 0;
const query = () => {
  asked += 1;
  if (asked === 1) setTimeout(() => process.kill(process.pid, 'SIGTERM'), 50);
  return nothing();
};
const handle = { result: nothing, describe: nothing, query } as unknown as WorkflowHandle;
process.stdout.write(JSON.stringify(await follow(runHandle(handle), { quiet: true })), () => process.exit());
