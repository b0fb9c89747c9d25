import type { Engine } from '../engine.ts';

export const exportWorkList: Engine['export'] = async () => {
  throw new Error('being written');
};
