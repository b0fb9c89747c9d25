import type { RestoreEngine } from '../../engine.ts';

export const finish: RestoreEngine['finish'] = async () => {
  throw new Error('being written');
};
