import type { TabletRestore } from '../../tablet-engine.ts';
import { discardUniverse, finishUniverse, forgetRestore, refuseIfEnded } from './finish.ts';
import { beQuiet, endQuiet } from './load-balancer.ts';
import { placeFills, readFillBatch } from './place.ts';
import { planUniverseRestore } from './plan.ts';
import { prepareUniverse } from './prepare.ts';
import { restoreAll } from './restoration.ts';

/** The restore side of the engine for universes: one file per part of the process. */
export const restoreOfTablets: TabletRestore = {
  plan: async (restore) => {
    await refuseIfEnded(restore);
    return planUniverseRestore(restore);
  },
  beQuiet,
  endQuiet,
  prepare: async (restore) => {
    await refuseIfEnded(restore);
    return prepareUniverse(restore);
  },
  placeFills,
  describeFill: readFillBatch,
  restoreSnapshots: restoreAll,
  finish: finishUniverse,
  forget: forgetRestore,
  discard: discardUniverse,
};
