import type { RestoreEngine } from '../../engine.ts';
import { discard } from './discard.ts';
import { finish } from './finish.ts';
import { load } from './load.ts';
import { planRestore } from './plan.ts';
import { applyPostData } from './post-data.ts';
import { prepare } from './prepare.ts';

/** The restore side of the YCQL engine: one file per part of the process. */
export const restoreEngine: RestoreEngine = {
  plan: planRestore,
  prepare,
  load,
  postData: applyPostData,
  finish,
  discard,
};
