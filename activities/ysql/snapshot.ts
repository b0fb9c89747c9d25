import type { Engine } from '../engine.ts';

export const openReadPoint: Engine['openReadPoint'] = async () => {
  throw new Error('being written');
};
