import type { RestoreEngine } from '../../engine.ts';

export const prepare: RestoreEngine['prepare'] = async () => {
  throw new Error('being written');
};
