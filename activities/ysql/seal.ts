import type { Engine } from '../engine.ts';

export const seal: Engine['seal'] = async () => {
  throw new Error('being written');
};
