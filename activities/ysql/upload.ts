import type { Engine } from '../engine.ts';

export const upload: Engine['upload'] = async () => {
  throw new Error('being written');
};
