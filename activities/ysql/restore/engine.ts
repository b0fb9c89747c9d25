import type { RestoreEngine } from '../../engine.ts';
import { ask } from './ask.ts';
import { discard } from './discard.ts';
import { finish, release } from './finish.ts';
import { load } from './load.ts';
import { planRestore } from './plan.ts';
import { applyPostData } from './post-data.ts';
import { prepare } from './prepare.ts';

/** The restore side of the YSQL engine: one file per part of the process. */
export const restoreEngine: RestoreEngine = {
  plan: planRestore,
  prepare,
  load,
  postData: applyPostData,
  finish,
  release,
  ask,
  discard,
};
