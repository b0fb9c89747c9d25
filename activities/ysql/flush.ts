import type { Engine } from '../engine.ts';

export const flush: Engine['flush'] = async () => {
  throw new Error('being written');
};
