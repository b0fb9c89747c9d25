import type { Engine } from '../engine.ts';

export const restoreKit: Engine['restoreKit'] = () => {
  throw new Error('being written');
};
