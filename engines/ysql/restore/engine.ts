import type { RestoreContext, RestoreEngine } from '../../engine.ts';
import { explainNotOurs } from '../server/sealed-restore.ts';
import { ask } from './ask.ts';
import { discard } from './discard.ts';
import { finish, release } from './finish.ts';
import { lacksOfTarget, trySchema } from './foresight.ts';
import { restoreJob } from './job.ts';
import { load } from './load.ts';
import { planRestore } from './plan.ts';
import { applyPostData } from './post-data.ts';
import { prepare } from './prepare.ts';
import { replayDatabase } from './replay.ts';

const stages: RestoreEngine = {
  plan: planRestore,
  prepare,
  load: (context, task) => explained(context, load(context, task)),
  postData: (context, work) => explained(context, applyPostData(context, work)),
  replay: (context, database) => explained(context, replayDatabase(context, database)),
  finish,
  release,
  ask,
  discard,
};

/** The restore side of the YSQL engine: one file per part of the process. */
export const restoreEngine: RestoreEngine = {
  ...stages,
  tolerates: true,
  lacks: lacksOfTarget,
  trySchema: (context) => trySchema(stages, context),
};

/** Explains errors of a restore that has ended and so no longer has databases of its own. */
async function explained<T>(context: RestoreContext, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw await explainNotOurs(context, await restoreJob(context), error);
  }
}
